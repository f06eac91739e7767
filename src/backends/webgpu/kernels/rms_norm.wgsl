// rms_norm: x * rsqrt(mean(x^2) + eps), times (weight + offset) where there is one. TEAM lanes
// share a row.
struct Params { rows: u32, columns: u32, eps: f32, offset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#if WEIGHT
@group(0) @binding(3) var<storage, read> weight: array<f32>;
//#endif
//#include grid
//#include row_teams

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups) * (GROUP / TEAM) + lane / TEAM;
  // Lanes beyond the last row repeat it, and write nothing.
  let base = min(row, p.rows - 1u) * p.columns;
  var squares = 0.0;
  for (var i = lane % TEAM; i < p.columns; i += TEAM) { squares += x[base + i] * x[base + i]; }
  let inverse = 1.0 / sqrt(team_sum(squares, lane) / f32(p.columns) + p.eps);
  if (row >= p.rows) { return; }
  for (var i = lane % TEAM; i < p.columns; i += TEAM) {
//#if WEIGHT
    out[base + i] = x[base + i] * inverse * (weight[i] + p.offset);
//#else
    out[base + i] = x[base + i] * inverse;
//#endif
  }
}
