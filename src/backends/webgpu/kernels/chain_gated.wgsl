// As chain_rows, the same rows of two matrices: their sums lie behind each other.
//#copies chain_matrix

fn run_0(group: u32, groups: u32, rows: u32, lane: u32) -> f32 {
  let column = lane % LANES;
  var row = group * TEAMS + lane / LANES;
//#unroll
  for (var k = 0u; k < PIECES; k++) {
    var now_{k} = fetch_0(min(row, rows - 1u), column + k * LANES);
    var up_{k} = fetch_1(min(row, rows - 1u), column + k * LANES);
  }
  let inverse = take(lane);
  for (var round = 0u; (round * groups + group) * TEAMS < rows; round++) {
    let place = round * TEAMS + lane / LANES;
    row += groups * TEAMS;
    var sum = 0.0;
    var other = 0.0;
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      let then_{k} = fetch_0(min(row, rows - 1u), column + k * LANES);
      let up_then_{k} = fetch_1(min(row, rows - 1u), column + k * LANES);
    }
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      sum += product_0(now_{k}, x_piece_0(0u, column + k * LANES));
      other += product_1(up_{k}, x_piece_1(0u, column + k * LANES));
      now_{k} = then_{k};
      up_{k} = up_then_{k};
    }
    sum = subgroup_sum(sum);
    other = subgroup_sum(other);
    if (column % SUBGROUP == 0u) {
      parts[2u * place * PARTS_OF_ROW + column / SUBGROUP] = sum;
      parts[(2u * place + 1u) * PARTS_OF_ROW + column / SUBGROUP] = other;
    }
  }
  return inverse;
}
