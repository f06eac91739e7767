// The largest size of a number in each of `parts` parts of x, which take every parts-th workgroup's share.
struct Params { count: u32, parts: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> sizes: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<Number>;
//#include number
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let part = group_index(group, groups);
  if (part >= p.parts) { return; }
  var largest = Number();
  for (var i = part * GROUP + lane; i < p.count; i += p.parts * GROUP) { largest = max(largest, abs(x[i])); }
//#if FOURS
  let mine = max(max(largest.x, largest.y), max(largest.z, largest.w));
//#else
  let mine = largest;
//#endif
  let all = reduce_max(mine, lane);
  if (lane == 0u) { sizes[part] = all; }
}
