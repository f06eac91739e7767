// Two f16 a word. Unpacked without the f16 feature, which many adapters lack. Rows that are whole
// groups of eight are read four words at a time.
//#include half
//#if EIGHTS
@group(0) @binding(3) var<storage, read> w: array<vec4u>;

fn word(at: u32) -> u32 { return w[at / 4u][at % 4u]; }

fn weight8_aligned(row: u32, column: u32) -> array<vec4f, 2> {
  let words = w[(row * columns_of_weight() + column) / 8u];
  return array(vec4f(unpack_halves(words.x), unpack_halves(words.y)), vec4f(unpack_halves(words.z), unpack_halves(words.w)));
}
//#else
@group(0) @binding(3) var<storage, read> w: array<u32>;

fn word(at: u32) -> u32 { return w[at]; }
//#endif

fn weight1(row: u32, column: u32) -> f32 {
  let at = row * columns_of_weight() + column;
  return half_to_float(word(at / 2u) >> (16u * (at % 2u)));
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let at = (row * columns_of_weight() + column) / 2u;
  return vec4f(unpack_halves(word(at)), unpack_halves(word(at + 1u)));
}
