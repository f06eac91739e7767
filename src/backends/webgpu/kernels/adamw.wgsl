// adamw: one update of a parameter and its moments from a gradient (see the op). `rates`: learning
// rate, 1 / (1 - beta1^step), 1 / (1 - beta2^step). A clip below zero leaves all as it is.
struct Params { count: u32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, epsilon: f32, decay: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> mean: array<f32>;
@group(0) @binding(3) var<storage, read_write> square: array<f32>;
@group(0) @binding(4) var<storage, read> gradient: array<f32>;
@group(0) @binding(5) var<storage, read> rates: array<f32>;
@group(0) @binding(6) var<storage, read> clip: array<f32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count || clip[0] < 0.0) { return; }
  let slope = gradient[i] * clip[0];
  mean[i] = p.beta1 * mean[i] + p.rest1 * slope;
  square[i] = p.beta2 * square[i] + p.rest2 * slope * slope;
  let update = mean[i] * rates[1] / (sqrt(square[i] * rates[2]) + p.epsilon);
  weight[i] = weight[i] * (1.0 - rates[0] * p.decay) - rates[0] * update;
}
