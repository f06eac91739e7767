// linear for many tokens: y = x W^T (+ bias), in tiles of 32 tokens x 32 rows of W, 16 columns at a
// time through workgroup memory. 64 lanes, each with 4 x 4 sums.
struct Params { weight: Weight, tokens: u32, rows: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
//#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
//#endif
//#include grid
//#include weight
//#include rows4

// Column by column, so that a lane reads its four tokens and its four rows as one vector each.
var<workgroup> x_tile: array<array<vec4f, 8>, 16>;
var<workgroup> w_tile: array<array<vec4f, 8>, 16>;

// Lane l loads columns 4 (l % 4) ... of tokens and rows l / 4 and l / 4 + 16.
fn load_tiles(first_token: u32, first_row: u32, first_column: u32, lane: u32) {
  let column = 4u * (lane % 4u);
  for (var i = lane / 4u; i < 32u; i += 16u) {
    var from_x = vec4f();
    var from_w = vec4f();
    if (first_column + column < p.weight.columns) {
      if (first_token + i < p.tokens) { from_x = x4(first_token + i, first_column + column); }
      if (first_row + i < p.rows) { from_w = weight4(first_row + i, first_column + column); }
    }
    for (var c = 0u; c < 4u; c++) {
      x_tile[column + c][i / 4u][i % 4u] = from_x[c];
      w_tile[column + c][i / 4u][i % 4u] = from_w[c];
    }
  }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row_tiles = (p.rows + 31u) / 32u;
  let index = group_index(group, groups);
  let first_token = (index / row_tiles) * 32u;
  let first_row = (index % row_tiles) * 32u;
  if (first_token >= p.tokens) { return; }
  let my_tokens = lane / 8u;
  let my_rows = lane % 8u;
  var sums = array<vec4f, 4>();
  for (var column = 0u; column < p.weight.columns; column += 16u) {
    workgroupBarrier();
    load_tiles(first_token, first_row, column, lane);
    workgroupBarrier();
    for (var c = 0u; c < 16u; c++) {
      let rows = w_tile[c][my_rows];
      let tokens = x_tile[c][my_tokens];
      for (var t = 0u; t < 4u; t++) { sums[t] += tokens[t] * rows; }
    }
  }
  for (var t = 0u; t < 4u; t++) {
    let token = first_token + 4u * my_tokens + t;
    for (var r = 0u; r < 4u; r++) {
      let row = first_row + 4u * my_rows + r;
      if (token < p.tokens && row < p.rows) {
//#if BIAS
        y[token * p.rows + row] = sums[t][r] + bias[row];
//#else
        y[token * p.rows + row] = sums[t][r];
//#endif
      }
    }
  }
}
