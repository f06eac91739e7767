// take_rows: rows of a table by index; a negative index gives zeros, one beyond the table a fault. Of a
// table that is taken in parts, a dispatch sees `seen` rows from `first` on, and writes no others.
struct Params { weight: Weight, count: u32, rows: u32, fault: u32, first: u32, seen: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> indices: array<i32>;
//#include grid
//#include weight
//#include fault

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let row = indices[i / p.weight.columns];
  if (row < 0) { out[i] = 0.0; return; }
  if (u32(row) >= p.rows) { raise(p.fault, row); return; }
  if (u32(row) - p.first >= p.seen) { return; }
  out[i] = weight1(u32(row) - p.first, i % p.weight.columns);
}
