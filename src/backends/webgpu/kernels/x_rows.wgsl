// The rows of activations that products of few tokens read, four numbers at a time, zero beyond the end
// of a row. With NORM they are multiplied by the weight of an RMS norm as they are read; what its
// statistics scale them by comes behind the product (see `inverse_of`).
//#if ALIGNED
@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn stored4(row: u32, column: u32) -> vec4f {
  return x[(row * COLUMNS + column) / 4u];
}
//#else
@group(0) @binding(2) var<storage, read> x: array<f32>;

fn stored4(row: u32, column: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (column + i < COLUMNS) { four[i] = x[row * COLUMNS + column + i]; }
  }
  return four;
}
//#endif
//#if NORM
@group(0) @binding(NORM_AT) var<storage, read> norm_weight: array<vec4f>;

fn norm4(column: u32) -> vec4f { return norm_weight[column / 4u] + p.offset; }
//#else
fn norm4(column: u32) -> vec4f { return vec4f(1.0); }
//#endif

// Row of x that a workgroup counts its own from.
var<private> first_x_row: u32 = 0u;
//#if STAGED

// The workgroup's rows times the norm's weight.
var<workgroup> staged: array<vec4f, X_ROWS * COLUMNS / 4u>;
fn stage(row: u32, column: u32, four: vec4f) { staged[(row * COLUMNS + column) / 4u] = four * norm4(column); }
fn x4(row: u32, column: u32) -> vec4f { return staged[(row * COLUMNS + column) / 4u]; }
//#else

fn stage(row: u32, column: u32, four: vec4f) {}
fn x4(row: u32, column: u32) -> vec4f { return stored4(first_x_row + row, column) * norm4(column); }
//#endif
