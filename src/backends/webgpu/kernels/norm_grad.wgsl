// Gradients of rms_norm, and with CENTRED of layer_norm: dx, and the weight's row by row. TEAM lanes
// share a row.
struct Params { rows: u32, columns: u32, eps: f32, offset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> dy: array<f32>;
//#if WEIGHT
@group(0) @binding(5) var<storage, read> weight: array<f32>;
//#endif
//#include grid
//#include row_teams

fn weight_of(column: u32) -> f32 {
//#if WEIGHT
  return weight[column] + p.offset;
//#else
  return 1.0;
//#endif
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups) * (GROUP / TEAM) + lane / TEAM;
  // Lanes beyond the last row repeat it, and write nothing.
  let base = min(row, p.rows - 1u) * p.columns;
  let first = lane % TEAM;
  let count = f32(p.columns);
  var mean = 0.0;
  if (CENTRED) {
    for (var i = first; i < p.columns; i += TEAM) { mean += x[base + i]; }
    mean = team_sum(mean, lane) / count;
  }
  var squares = 0.0;
  var shift = 0.0;
  var pull = 0.0;
  for (var i = first; i < p.columns; i += TEAM) {
    let centred = x[base + i] - mean;
    let slope = dy[base + i] * weight_of(i);
    squares += centred * centred;
    shift += slope;
    pull += slope * centred;
  }
  let inverse = 1.0 / sqrt(team_sum(squares, lane) / count + p.eps);
  pull = team_sum(pull, lane) * inverse * inverse * inverse / count;
  if (CENTRED) { shift = team_sum(shift, lane) * inverse / count; } else { shift = 0.0; }
  if (row >= p.rows) { return; }
  for (var i = first; i < p.columns; i += TEAM) {
    let centred = x[base + i] - mean;
    dx[base + i] = dy[base + i] * weight_of(i) * inverse - shift - centred * pull;
    dw[base + i] = dy[base + i] * centred * inverse;
  }
}
