//#if ALIGNED
@group(0) @binding(3) var<storage, read> w: array<vec4f>;

fn weight1(row: u32, column: u32) -> f32 {
  return w[(row * columns_of_weight() + column) / 4u][column % 4u];
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  return w[(row * columns_of_weight() + column) / 4u];
}
//#else
@group(0) @binding(3) var<storage, read> w: array<f32>;

fn weight1(row: u32, column: u32) -> f32 {
  return w[row * columns_of_weight() + column];
}
//#endif
