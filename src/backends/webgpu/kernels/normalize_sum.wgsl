// normalize_sum: x / (sum of its row + epsilon). A workgroup per row.
struct Params { rows: u32, columns: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  let base = row * p.columns;
  var total = 0.0;
  for (var i = lane; i < p.columns; i += GROUP) { total += x[base + i]; }
  total = reduce_sum(total, lane) + p.epsilon;
  for (var i = lane; i < p.columns; i += GROUP) { out[base + i] = x[base + i] / total; }
}
