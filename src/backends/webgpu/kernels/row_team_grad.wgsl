// What both gradients of row attention need beside row_team: the weights' gradients of a team.
var<workgroup> products: array<f32, BLOCK * GROUP>;
var<workgroup> slopes: array<f32, BLOCK * GROUP>;

fn dout4(base: u32, column: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { if (column + i < VALUE) { four[i] = dout[base + column + i]; } }
  return four;
}

fn team_slope(j: u32, lane: u32) -> f32 {
  let first = j * GROUP + lane / TEAM * TEAM;
  var sum = 0.0;
  for (var i = 0u; i < TEAM; i++) { sum += slopes[first + i]; }
  return sum;
}
