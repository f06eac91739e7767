// add_rows: rows of x [T, columns] added into the rows that indices name, zeros elsewhere; a negative
// index is left out, one beyond the last row is a fault. A workgroup per row of the result and GROUP
// columns finds its own rows of x in order, so that sums do not depend on timing.
struct Params { tokens: u32, columns: u32, rows: u32, fault: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> indices: array<i32>;
//#include grid
//#include matching
//#include fault

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = (p.columns + GROUP - 1u) / GROUP;
  let index = group_index(group, groups);
  let row = index / tiles;
  let column = index % tiles * GROUP + lane;
  if (row >= p.rows) { return; }
  var sum = 0.0;
  for (var first = 0u; first < p.tokens; first += CHUNK) {
    if (index == 0u) { check(first, lane); }
    let count = find_matches(first, p.tokens, i32(row), lane);
    if (column < p.columns) {
      for (var i = 0u; i < count; i++) { sum += x[matches[i] * p.columns + column]; }
    }
  }
  if (column < p.columns) { out[row * p.columns + column] = sum; }
}

fn check(first: u32, lane: u32) {
  for (var i = first + lane; i < min(first + CHUNK, p.tokens); i += GROUP) {
    if (indices[i] >= i32(p.rows)) { raise(p.fault, indices[i]); }
  }
}
