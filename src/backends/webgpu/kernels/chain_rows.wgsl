// The rows of one matrix that workgroup `group` of `groups` computes: TEAMS neighbours a round, so that in each
// round all workgroups together read one stretch of memory. The first are asked for before x is waited for, and
// each team's next while it multiplies with one.
//#include chain_matrix

fn run(group: u32, groups: u32, rows: u32, lane: u32) -> f32 {
  let column = lane % LANES;
  var row = group * TEAMS + lane / LANES;
//#unroll
  for (var k = 0u; k < PIECES; k++) {
    var now_{k} = fetch(min(row, rows - 1u), column + k * LANES);
  }
  let inverse = take(lane);
  for (var round = 0u; (round * groups + group) * TEAMS < rows; round++) {
    let place = round * TEAMS + lane / LANES;
    row += groups * TEAMS;
    var sum = 0.0;
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      let then_{k} = fetch(min(row, rows - 1u), column + k * LANES);
    }
//#unroll
    for (var k = 0u; k < PIECES; k++) {
      sum += product(now_{k}, x_piece(0u, column + k * LANES));
      now_{k} = then_{k};
    }
    sum = subgroup_sum(sum);
    if (column % SUBGROUP == 0u) { parts[place * PARTS_OF_ROW + column / SUBGROUP] = sum; }
  }
  return inverse;
}
