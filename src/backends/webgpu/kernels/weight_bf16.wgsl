// Two bf16 a word: the upper halves of float32. Rows that are whole groups of eight are read four
// words at a time.
//#if EIGHTS
@group(0) @binding(3) var<storage, read> w: array<vec4u>;

fn word(at: u32) -> u32 { return w[at / 4u][at % 4u]; }

fn weight8_aligned(row: u32, column: u32) -> array<vec4f, 2> {
  let words = w[(row * columns_of_weight() + column) / 8u];
  return array(unpack_bf16(words.xy), unpack_bf16(words.zw));
}
//#else
@group(0) @binding(3) var<storage, read> w: array<u32>;

fn word(at: u32) -> u32 { return w[at]; }
//#endif

fn unpack_bf16(words: vec2u) -> vec4f {
  return bitcast<vec4f>(vec4u(words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}

fn weight1(row: u32, column: u32) -> f32 {
  let at = row * columns_of_weight() + column;
  return bitcast<f32>((word(at / 2u) >> (16u * (at % 2u))) << 16u);
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let at = (row * columns_of_weight() + column) / 2u;
  return unpack_bf16(vec2u(word(at), word(at + 1u)));
}
