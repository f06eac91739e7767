// count_indices: how often each number is among indices. A workgroup per number.
struct Params { width: u32, count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let wanted = group_index(group, groups);
  if (wanted >= p.width) { return; }
  var found = 0.0;
  for (var i = lane; i < p.count; i += GROUP) {
    if (indices[i] == i32(wanted)) { found += 1.0; }
  }
  found = reduce_sum(found, lane);
  if (lane == 0u) { out[wanted] = found; }
}
