// Gradient of softmax from its result y: y (dy - y . dy). A workgroup per row.
struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read> y: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  let base = row * p.columns;
  var product = 0.0;
  for (var i = lane; i < p.columns; i += GROUP) { product += y[base + i] * dy[base + i]; }
  product = reduce_sum(product, lane);
  for (var i = lane; i < p.columns; i += GROUP) { dx[base + i] = y[base + i] * (dy[base + i] - product); }
}
