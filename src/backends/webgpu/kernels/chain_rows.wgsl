// Rows `first` to `end` of one matrix. The first are asked for before x is waited for, and each team's next
// while it multiplies with one.
//#include chain_matrix

fn run(first: u32, end: u32, lane: u32) -> f32 {
  let last = max(end, 1u) - 1u;
  let column = lane % LANES;
  var row = first + lane / LANES;
//#unroll
  for (var k = 0u; k < PIECES; k++) {
    var now_{k} = fetch(min(row, last), column + k * LANES);
  }
  let inverse = take(lane);
  for (var base = first; base < end; base += TEAMS) {
    var sum = 0.0;
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      let then_{k} = fetch(min(row + TEAMS, last), column + k * LANES);
    }
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      sum += product(now_{k}, x_piece(0u, column + k * LANES));
      now_{k} = then_{k};
    }
    sum = subgroup_sum(sum);
    if (column % SUBGROUP == 0u && row < end) { parts[(row - first) * PARTS_OF_ROW + column / SUBGROUP] = sum; }
    row += TEAMS;
  }
  return inverse;
}
