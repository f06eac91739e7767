// step_along: weight = (1 - rate decay) weight - rate size direction, the direction lying at `at` of a
// stack. A clip below zero leaves all as it is.
struct Params { count: u32, at: u32, size: f32, decay: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> weight: array<f32>;
@group(0) @binding(2) var<storage, read> stack: array<f32>;
@group(0) @binding(3) var<storage, read> rates: array<f32>;
@group(0) @binding(4) var<storage, read> clip: array<f32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count || clip[0] < 0.0) { return; }
  weight[i] = weight[i] * (1.0 - rates[0] * p.decay) - rates[0] * p.size * stack[p.at + i];
}
