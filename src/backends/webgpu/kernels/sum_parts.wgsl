// out [n] = the sum of `parts` times [n], one after another, (+ bias, repeated). The order is fixed:
// results are reproducible.
struct Params { count: u32, parts: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> parts: array<f32>;
//#if BIAS
@group(0) @binding(3) var<storage, read> bias: array<f32>;
//#endif
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  var sum = parts[i];
  for (var part = 1u; part < p.parts; part++) { sum += parts[part * p.count + i]; }
//#if BIAS
  sum += bias[i % p.columns];
//#endif
  out[i] = sum;
}
