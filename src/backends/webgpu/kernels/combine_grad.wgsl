// Gradient of combine: dy [T, k, D] = weight times dout, dw [T, k] = y . dout. A workgroup per choice.
struct Params { count: u32, choices: u32, width: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(0) @binding(3) var<storage, read> y: array<f32>;
@group(0) @binding(4) var<storage, read> weights: array<f32>;
@group(0) @binding(5) var<storage, read> dout: array<f32>;
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let choice = group_index(group, groups);
  if (choice >= p.count) { return; }
  let row = choice / p.choices * p.width;
  let weight = weights[choice];
  var product = 0.0;
  for (var i = lane; i < p.width; i += GROUP) {
    dy[choice * p.width + i] = weight * dout[row + i];
    product += y[choice * p.width + i] * dout[row + i];
  }
  product = reduce_sum(product, lane);
  if (lane == 0u) { dw[choice] = product; }
}
