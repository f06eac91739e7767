// scatter: numbers of rows of k added into rows of `width`, where indices say. A lane per result.
struct Params { count: u32, width: u32, k: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> indices: array<i32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let first = i / p.width * p.k;
  var sum = 0.0;
  for (var j = first; j < first + p.k; j++) {
    if (indices[j] == i32(i % p.width)) { sum += x[j]; }
  }
  out[i] = sum;
}
