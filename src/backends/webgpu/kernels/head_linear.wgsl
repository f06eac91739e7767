// head_linear: each head's own rows [start, start + rows) of its block of W [heads * block, columns].
// plain: y [T, N, rows] = W_n x[n];  TRANSPOSED: y [T, N, columns] = W_n^T x[n]. A lane per number.
struct Params { weight: Weight, count: u32, heads: u32, block: u32, start: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#include grid
//#include weight

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  var sum = 0.0;
//#if TRANSPOSED
  let item = i / p.weight.columns;
  let column = i % p.weight.columns;
  let first = (item % p.heads) * p.block + p.start;
  for (var j = 0u; j < p.rows; j++) { sum += x[item * p.rows + j] * weight1(first + j, column); }
//#else
  let item = i / p.rows;
  let row = (item % p.heads) * p.block + p.start + i % p.rows;
  let base = item * p.weight.columns;
  for (var column = 0u; column < p.weight.columns; column++) { sum += x[base + column] * weight1(row, column); }
//#endif
  y[i] = sum;
}
