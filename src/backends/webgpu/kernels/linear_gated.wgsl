// linear_gated for few tokens: silu(x Wg^T) * (x Wu^T), a gated feed-forward's first half in one dispatch;
// with NORM, of the RMS norm of x. A team of lanes computes the same rows of both matrices.
struct Params { weight: Weight_0, tokens: u32, rows: u32, eps: f32, offset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
//#include activations
//#include grid
//#include x_{X}
//#copies products_{PRODUCTS}
//#include team_sums

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_row = (group_index(group, groups) * TEAMS + lane / LANES) * EACH;
  prepare(p.tokens, lane);
  let mine = multiply_0(first_row, p.rows, 0u, lane);
  let others = multiply_1(first_row, p.rows, 0u, lane);
  let gate = team_sums(mine, lane);
  let up = team_sums(others, lane);
  if (lane % LANES != 0u) { return; }
  for (var r = 0u; r < EACH; r++) {
    let row = first_row + r;
    if (row >= p.rows) { return; }
    for (var t = 0u; t < min(TOKENS, p.tokens); t++) {
      y[t * p.rows + row] = silu(gate[r * TOKENS + t] * inverse_of(t)) * up[r * TOKENS + t] * inverse_of(t);
    }
  }
}
