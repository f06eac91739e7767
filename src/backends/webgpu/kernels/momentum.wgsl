// momentum: mean = momentum mean + clip gradient; the direction, with Nesterov the gradient plus
// momentum mean, goes to `at` of a stack. A clip below zero leaves all as it is.
struct Params { count: u32, at: u32, momentum: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> mean: array<f32>;
@group(0) @binding(2) var<storage, read_write> stack: array<f32>;
@group(0) @binding(3) var<storage, read> gradient: array<f32>;
@group(0) @binding(4) var<storage, read> clip: array<f32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count || clip[0] < 0.0) { return; }
  let slope = gradient[i] * clip[0];
  let now = p.momentum * mean[i] + slope;
  mean[i] = now;
  stack[p.at + i] = select(now, slope + p.momentum * now, NESTEROV);
}
