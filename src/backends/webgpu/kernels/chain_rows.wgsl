// Rows `first` to `end` of one matrix. A team asks for its first row before x is waited for, and for the next
// as soon as one has been used: other teams work meanwhile, and registers for two rows are not there.
//#include chain_matrix

fn run(first: u32, end: u32, lane: u32) -> f32 {
  let last = max(end, 1u) - 1u;
  let column = lane % LANES;
  var row = first + lane / LANES;
//#unroll
  for (var k = 0u; k < PIECES; k++) {
    var held_{k} = fetch(min(row, last), column + k * LANES);
  }
  let inverse = take(lane);
  for (var base = first; base < end; base += TEAMS) {
    var sum = 0.0;
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      sum += product(held_{k}, x_piece(0u, column + k * LANES));
    }
    if (row + TEAMS < end) {
//#unroll
      for (var k = 0u; k < PIECES; k++) {
        held_{k} = fetch(row + TEAMS, column + k * LANES);
      }
    }
    sum = subgroup_sum(sum);
    if (column % SUBGROUP == 0u && row < end) { parts[(row - first) * PARTS_OF_ROW + column / SUBGROUP] = sum; }
    row += TEAMS;
  }
  return inverse;
}
