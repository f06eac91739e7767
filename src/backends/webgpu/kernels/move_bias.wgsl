// move_bias: up by `rate` where a load is below the mean of all, down where it is above.
struct Params { count: u32, rate: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> bias: array<f32>;
@group(0) @binding(2) var<storage, read> loads: array<f32>;
@group(0) @binding(3) var<storage, read> clip: array<f32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count || clip[0] < 0.0) { return; }
  var sum = 0.0;
  for (var e = 0u; e < p.count; e++) { sum += loads[e]; }
  // Loads are whole numbers, and so is this: exact up to 2^24.
  bias[i] += p.rate * sign(sum - loads[i] * f32(p.count));
}
