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
  // Four sums, so that a lane waits for four reads at once.
  var four = vec4f();
  var part = 0u;
  for (; part + 3u < p.parts; part += 4u) {
    for (var j = 0u; j < 4u; j++) { four[j] += parts[(part + j) * p.count + i]; }
  }
  for (; part < p.parts; part++) { four.x += parts[part * p.count + i]; }
  var sum = four.x + four.y + four.z + four.w;
//#if BIAS
  sum += bias[i % p.columns];
//#endif
  out[i] = sum;
}
