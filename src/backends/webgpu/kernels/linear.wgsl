// linear for few tokens: y = x W^T (+ bias). With GATE, silu of that times up. A workgroup computes GROUP / LANES rows of W for up to
// TOKENS tokens; LANES lanes (a power of two) share a row and add up at the end.
struct Params { weight: Weight, tokens: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
//#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
//#endif
//#if GATE
@group(0) @binding(4) var<storage, read> up: array<f32>;
//#endif
//#include activations
//#include grid
//#include weight
//#include rows4

const ROWS: u32 = GROUP / LANES;
var<workgroup> partial: array<array<f32, GROUP>, TOKENS>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row_groups = (p.rows + ROWS - 1u) / ROWS;
  let index = group_index(group, groups);
  let first_token = (index / row_groups) * TOKENS;
  let row = (index % row_groups) * ROWS + lane / LANES;
  if (first_token >= p.tokens) { return; }
  var sums = array<f32, TOKENS>();
  if (row < p.rows) {
    for (var column = 8u * (lane % LANES); column < p.weight.columns; column += 8u * LANES) {
      let eight = weight8(row, column);
      // Tokens beyond the last repeat it; their sums are dropped.
      for (var t = 0u; t < TOKENS; t++) {
        let token = min(first_token + t, p.tokens - 1u);
        sums[t] += dot(eight[0], x4(token, column));
        if (EIGHTS || column + 4u < p.weight.columns) { sums[t] += dot(eight[1], x4(token, column + 4u)); }
      }
    }
  }
  for (var t = 0u; t < TOKENS; t++) { partial[t][lane] = sums[t]; }
  for (var half = LANES / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lane % LANES < half) {
      for (var t = 0u; t < TOKENS; t++) { partial[t][lane] += partial[t][lane + half]; }
    }
  }
  if (lane % LANES == 0u && row < p.rows) {
    for (var t = 0u; t < min(TOKENS, p.tokens - first_token); t++) {
      let at = (first_token + t) * p.rows + row;
      var sum = partial[t][lane];
//#if BIAS
      sum += bias[row];
//#endif
//#if GATE
      sum = silu(sum) * up[at];
//#endif
      y[at] = sum;
    }
  }
}
