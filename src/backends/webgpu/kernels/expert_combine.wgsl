// expert_combine: of each token the weighted sum over its choices of each choice's row of x [T, k, columns]
// through the matrix of its expert, W [E, rows, columns]; with ADD, more added to it. A workgroup computes
// EACH rows per team of lanes, for one token and all its choices.
struct Params { weight: Weight, tokens: u32, rows: u32, count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> indices: array<i32>;
@group(0) @binding(5) var<storage, read> weights: array<f32>;
//#if ADD
@group(0) @binding(6) var<storage, read> other: array<f32>;
//#endif
//#include grid

// Row `row` of the matrix of a choice; beyond the last, the last again.
fn chosen_row(choice: u32, row: u32) -> u32 { return u32(indices[first_x_row + choice]) * p.rows + min(row, p.rows - 1u); }

//#include x_{X}
//#include products_{PRODUCTS}
//#include team_sums

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row_groups = (p.rows + TEAMS * EACH - 1u) / (TEAMS * EACH);
  let index = group_index(group, groups);
  let token = index / row_groups;
  if (token >= p.count) { return; }
  first_x_row = token * X_ROWS;
  let first_row = ((index % row_groups) * TEAMS + lane / LANES) * EACH;
  let sums = team_sums(combine_choices(first_row, lane), lane);
  if (lane % LANES != 0u) { return; }
  for (var r = 0u; r < min(EACH, p.rows - min(first_row, p.rows)); r++) {
    let at = token * p.rows + first_row + r;
    var sum = sums[r];
//#if ADD
    sum += other[at];
//#endif
    y[at] = sum;
  }
}
