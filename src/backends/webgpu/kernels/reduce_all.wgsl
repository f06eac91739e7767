// Sums of `chunk` numbers each (with SQUARES: of their squares), times a factor. A workgroup per chunk.
struct Params { count: u32, chunk: u32, first: u32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group_index(group, groups);
  if (index * p.chunk >= p.count) { return; }
  var sum = 0.0;
  for (var i = index * p.chunk + lane; i < min((index + 1u) * p.chunk, p.count); i += GROUP) {
//#if SQUARES
    sum += x[i] * x[i];
//#else
    sum += x[i];
//#endif
  }
  sum = reduce_sum(sum, lane);
  if (lane == 0u) { out[p.first + index] = sum * p.factor; }
}
