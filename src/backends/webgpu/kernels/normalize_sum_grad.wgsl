// Gradient of x / (sum of its row + epsilon). A workgroup per row.
struct Params { rows: u32, columns: u32, epsilon: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dx: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  let base = row * p.columns;
  var sum = 0.0;
  var product = 0.0;
  for (var i = lane; i < p.columns; i += GROUP) {
    sum += x[base + i];
    product += x[base + i] * dy[base + i];
  }
  sum = reduce_sum(sum, lane) + p.epsilon;
  let pull = reduce_sum(product, lane) / sum / sum;
  for (var i = lane; i < p.columns; i += GROUP) { dx[base + i] = dy[base + i] / sum - pull; }
}
