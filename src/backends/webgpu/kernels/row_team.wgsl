// What kernels of row attention share: lanes in teams of TEAM, rows in vectors of four (zero beyond
// their end), and products that a team adds up through workgroup memory.
const LOWEST: f32 = -3.4028234e38;
const H4: u32 = (HEAD + 3u) / 4u;
const V4: u32 = (VALUE + 3u) / 4u;
// Vectors of a member.
const HM: u32 = (H4 + TEAM - 1u) / TEAM;
const VM: u32 = (V4 + TEAM - 1u) / TEAM;
const QUERIES: u32 = GROUP / TEAM;
// Products that are added up between two barriers.
const BLOCK: u32 = 4u;

fn q4(base: u32, column: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { if (column + i < HEAD) { four[i] = q[base + column + i]; } }
  return four;
}

fn k4(base: u32, column: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { if (column + i < HEAD) { four[i] = k[base + column + i]; } }
  return four;
}

//#if VALUES
fn v4(base: u32, column: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { if (column + i < VALUE) { four[i] = v[base + column + i]; } }
  return four;
}
//#endif

// Product j of the lane's team.
fn team_sum(j: u32, lane: u32) -> f32 {
  let first = j * GROUP + lane / TEAM * TEAM;
  var sum = 0.0;
  for (var i = 0u; i < TEAM; i++) { sum += products[first + i]; }
  return sum;
}
