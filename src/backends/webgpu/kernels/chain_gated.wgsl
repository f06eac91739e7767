// As chain_rows, the same rows of two matrices: their sums lie behind each other.
//#copies chain_matrix

fn run_0(first: u32, end: u32, lane: u32) -> f32 {
  let last = max(end, 1u) - 1u;
  let column = lane % LANES;
  var row = first + lane / LANES;
//#unroll
  for (var k = 0u; k < PIECES; k++) {
    var held_{k} = fetch_0(min(row, last), column + k * LANES);
    var up_{k} = fetch_1(min(row, last), column + k * LANES);
  }
  let inverse = take(lane);
  for (var base = first; base < end; base += TEAMS) {
    var sum = 0.0;
    var other = 0.0;
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      sum += product_0(held_{k}, x_piece_0(0u, column + k * LANES));
      other += product_1(up_{k}, x_piece_1(0u, column + k * LANES));
    }
    if (row + TEAMS < end) {
//#unroll
      for (var k = 0u; k < PIECES; k++) {
        held_{k} = fetch_0(row + TEAMS, column + k * LANES);
        up_{k} = fetch_1(row + TEAMS, column + k * LANES);
      }
    }
    sum = subgroup_sum(sum);
    other = subgroup_sum(other);
    if (column % SUBGROUP == 0u && row < end) {
      let place = 2u * (row - first) * PARTS_OF_ROW + column / SUBGROUP;
      parts[place] = sum;
      parts[place + PARTS_OF_ROW] = other;
    }
    row += TEAMS;
  }
  return inverse;
}
