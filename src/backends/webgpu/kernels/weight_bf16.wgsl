// Two bf16 a word: the upper halves of float32.
@group(0) @binding(3) var<storage, read> w: array<u32>;

fn weight1(row: u32, column: u32) -> f32 {
  let at = row * p.weight.columns + column;
  return bitcast<f32>((w[at / 2u] >> (16u * (at % 2u))) << 16u);
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let at = (row * p.weight.columns + column) / 2u;
  let words = vec2u(w[at], w[at + 1u]);
  return bitcast<vec4f>(vec4u(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}
