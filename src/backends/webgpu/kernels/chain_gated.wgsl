// As chain_rows, the same rows of two matrices: their sums lie behind each other.
//#copies chain_matrix

fn run_0(first: u32, end: u32, lane: u32) -> f32 {
  let last = max(end, 1u) - 1u;
  let column = lane % LANES;
  var row = first + lane / LANES;
//#unroll
  for (var k = 0u; k < PIECES; k++) {
    var now_{k} = fetch_0(min(row, last), column + k * LANES);
    var up_{k} = fetch_1(min(row, last), column + k * LANES);
  }
  let inverse = take(lane);
  for (var base = first; base < end; base += TEAMS) {
    var sum = 0.0;
    var other = 0.0;
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      let then_{k} = fetch_0(min(row + TEAMS, last), column + k * LANES);
      let up_then_{k} = fetch_1(min(row + TEAMS, last), column + k * LANES);
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
    if (column % SUBGROUP == 0u && row < end) {
      parts[2u * (row - first) * PARTS_OF_ROW + column / SUBGROUP] = sum;
      parts[(2u * (row - first) + 1u) * PARTS_OF_ROW + column / SUBGROUP] = other;
    }
    row += TEAMS;
  }
  return inverse;
}
