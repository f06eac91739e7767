// Sums over rows, `chunk` rows at a time: x [rows, columns] -> out [rows / chunk, columns], times a
// factor. Lanes of a workgroup share a chunk, a column each.
struct Params { rows: u32, columns: u32, chunk: u32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = (p.columns + GROUP - 1u) / GROUP;
  let index = group_index(group, groups);
  let column = index % tiles * GROUP + lane;
  let first = index / tiles * p.chunk;
  if (first >= p.rows || column >= p.columns) { return; }
  var sum = 0.0;
  for (var row = first; row < min(first + p.chunk, p.rows); row++) { sum += x[row * p.columns + column]; }
  out[index / tiles * p.columns + column] = sum * p.factor;
}
