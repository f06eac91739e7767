// linear for few tokens: y = x W^T (+ bias). A workgroup computes GROUP / LANES rows of W for up to
// TOKENS tokens; LANES lanes share a row and add up at the end.
struct Params { weight: Weight, tokens: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
//#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
//#endif
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
    for (var column = 4u * (lane % LANES); column < p.weight.columns; column += 4u * LANES) {
      let four = weight4(row, column);
      // Tokens beyond the last repeat it; their sums are dropped.
      for (var t = 0u; t < TOKENS; t++) { sums[t] += dot(four, x4(min(first_token + t, p.tokens - 1u), column)); }
    }
  }
  for (var t = 0u; t < TOKENS; t++) { partial[t][lane] = sums[t]; }
  workgroupBarrier();
  for (var i = lane; i < ROWS * TOKENS; i += GROUP) {
    let token = first_token + i / ROWS;
    let r = (index % row_groups) * ROWS + i % ROWS;
    if (token < p.tokens && r < p.rows) {
      var sum = 0.0;
      for (var l = 0u; l < LANES; l++) { sum += partial[i / ROWS][(i % ROWS) * LANES + l]; }
//#if BIAS
      sum += bias[r];
//#endif
      y[token * p.rows + r] = sum;
    }
  }
}
