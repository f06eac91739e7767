// out [n] = the sum of `parts` times [n], one after another, (+ bias, repeated).
struct Params { count: u32, parts: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
//#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
//#endif
//#include parts_sum
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  var sum = sum_at(i, p.count, p.parts);
//#if BIAS
  sum += bias[i % p.columns];
//#endif
  out[i] = sum;
}
