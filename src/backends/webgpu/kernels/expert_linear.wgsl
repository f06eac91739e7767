// expert_linear: each choice's row of x through the matrix of its expert. W [E, rows, columns],
// x [T, columns] (SHARED by a token's choices) or [T, k, columns]. A workgroup computes
// GROUP / LANES rows for one choice.
struct Params { weight: Weight, count: u32, choices: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> indices: array<i32>;
//#include grid
//#include weight
//#include rows4

const ROWS: u32 = GROUP / LANES;
var<workgroup> partial: array<f32, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row_groups = (p.rows + ROWS - 1u) / ROWS;
  let index = group_index(group, groups);
  let choice = index / row_groups;
  let first_row = (index % row_groups) * ROWS;
  if (choice >= p.count) { return; }
  let row = first_row + lane / LANES;
  var source = choice;
  if (SHARED) { source = choice / p.choices; }
  var sum = 0.0;
  if (row < p.rows) {
    let stored = u32(indices[choice]) * p.rows + row;
    for (var column = 8u * (lane % LANES); column < p.weight.columns; column += 8u * LANES) {
      let eight = weight8(stored, column);
      sum += dot(eight[0], x4(source, column));
      if (EIGHTS || column + 4u < p.weight.columns) { sum += dot(eight[1], x4(source, column + 4u)); }
    }
  }
  partial[lane] = sum;
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane % LANES < half) { partial[lane] += partial[lane + half]; }
  }
  if (lane % LANES == 0u && row < p.rows) { y[choice * p.rows + row] = partial[lane]; }
}
