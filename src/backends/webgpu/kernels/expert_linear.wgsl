// expert_linear: each choice's row of x through the matrix of its expert. W [E, rows, columns],
// x [T, columns] (SHARED by a token's choices) or [T, k, columns]. With GATED, silu of that times the
// product with a second stack of matrices; with NORM, of the RMS norm of x. A workgroup computes EACH
// rows per team of lanes, for one choice.
struct Params { weight: Weight_0, tokens: u32, rows: u32, eps: f32, offset: f32, count: u32, choices: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(INDICES_AT) var<storage, read> indices: array<i32>;
//#include activations
//#include grid
//#include x_{X}
//#copies products_{PRODUCTS}
//#include team_sums

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row_groups = (p.rows + TEAMS * EACH - 1u) / (TEAMS * EACH);
  let index = group_index(group, groups);
  let choice = index / row_groups;
  if (choice >= p.count) { return; }
  first_x_row = select(choice, choice / p.choices, SHARED);
  prepare(1u, lane);
  let first_row = ((index % row_groups) * TEAMS + lane / LANES) * EACH;
  let base = u32(indices[choice]) * p.rows;
  let mine = multiply_0(base + first_row, base + p.rows, 0u, lane);
  let sums = team_sums(mine, lane);
//#if GATED
  let others = multiply_1(base + first_row, base + p.rows, 0u, lane);
  let up = team_sums(others, lane);
//#endif
  if (lane % LANES != 0u) { return; }
  for (var r = 0u; r < min(EACH, p.rows - min(first_row, p.rows)); r++) {
    var sum = sums[r] * inverse_of(0u);
//#if GATED
    sum = silu(sum) * up[r] * inverse_of(0u);
//#endif
    y[choice * p.rows + first_row + r] = sum;
  }
}
