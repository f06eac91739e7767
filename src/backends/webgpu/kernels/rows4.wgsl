// Rows of activations, read four numbers at a time, zero beyond the end of a row.
//#if ALIGNED
@group(0) @binding(2) var<storage, read> x: array<vec4f>;

fn x4(row: u32, column: u32) -> vec4f {
  return x[(row * p.weight.columns + column) / 4u];
}
//#else
@group(0) @binding(2) var<storage, read> x: array<f32>;

fn x4(row: u32, column: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (column + i < p.weight.columns) { four[i] = x[row * p.weight.columns + column + i]; }
  }
  return four;
}
//#endif
