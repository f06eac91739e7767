// linear for few tokens: y = x W^T (+ bias). With GATE, silu of that times up; with ADD, more added to it;
// with NORM, of the RMS norm of x. A workgroup computes EACH rows of W per team of lanes, for all tokens.
struct Params { weight: Weight, tokens: u32, rows: u32, eps: f32, offset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
//#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
//#endif
//#if OTHER
@group(0) @binding(4) var<storage, read> other: array<f32>;
//#endif
//#include activations
//#include grid
//#include x_{X}
//#include products_{PRODUCTS}
//#include team_sums

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first_row = (group_index(group, groups) * TEAMS + lane / LANES) * EACH;
  prepare(p.tokens, lane);
  let sums = team_sums(multiply(first_row, p.rows, 0u, lane), lane);
  if (lane % LANES != 0u) { return; }
  for (var r = 0u; r < EACH; r++) {
    let row = first_row + r;
    if (row >= p.rows) { return; }
    for (var t = 0u; t < min(TOKENS, p.tokens); t++) {
      let at = t * p.rows + row;
      var sum = sums[r * TOKENS + t] * inverse_of(t);
//#if BIAS
      sum += bias[row];
//#endif
//#if GATE
      sum = silu(sum) * other[at];
//#endif
//#if ADD
      sum += other[at];
//#endif
      y[at] = sum;
    }
  }
}
