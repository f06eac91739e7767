// The rows of activations that products of few tokens read, four numbers at a time, zero beyond the end
// of a row. With NORM they are multiplied by the weight of an RMS norm as they are read; what its
// statistics scale them by comes behind the product (see `inverse_of`).
//#if ALIGNED
@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn stored4(row: u32, column: u32) -> vec4f {
  return x[(row * p.weight.columns + column) / 4u];
}
//#else
@group(0) @binding(2) var<storage, read> x: array<f32>;

fn stored4(row: u32, column: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (column + i < p.weight.columns) { four[i] = x[row * p.weight.columns + column + i]; }
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
