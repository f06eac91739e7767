// Sums of `chunk` numbers each (with SQUARES: of their squares), times a factor. A workgroup per chunk.
struct Params { count: u32, chunk: u32, first: u32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#include grid
//#include reduce

fn counted(four: vec4f) -> vec4f { return select(four, four * four, SQUARES); }

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group_index(group, groups);
  if (index * p.chunk >= p.count) { return; }
  let end = min((index + 1u) * p.chunk, p.count);
  // Four sums, so that a lane waits for four reads at once.
  var four = vec4f();
  var i = index * p.chunk + lane;
  for (; i + 3u * GROUP < end; i += 4u * GROUP) { four += counted(vec4f(x[i], x[i + GROUP], x[i + 2u * GROUP], x[i + 3u * GROUP])); }
  for (; i < end; i += GROUP) { four += counted(vec4f(x[i], 0.0, 0.0, 0.0)); }
  let sum = reduce_sum(four.x + four.y + four.z + four.w, lane);
  if (lane == 0u) { out[p.first + index] = sum * p.factor; }
}
