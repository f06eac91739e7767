// The largest number of each row. A workgroup per row.
struct Params { rows: u32, columns: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  var largest = x[row * p.columns];
  for (var i = lane; i < p.columns; i += GROUP) { largest = max(largest, x[row * p.columns + i]); }
  largest = reduce_max(largest, lane);
  if (lane == 0u) { out[row] = largest; }
}
