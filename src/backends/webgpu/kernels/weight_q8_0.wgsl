// Blocks of 34 bytes: an f16 scale, then 32 signed bytes. Every other block begins in the middle of
// a word, so words are put together from two.
@group(0) @binding(3) var<storage, read> w: array<u32>;
//#include half

fn word_at(byte: u32) -> u32 {
  let at = byte / 4u;
  if (byte % 4u == 0u) { return w[at]; }
  return (w[at] >> 16u) | (w[at + 1u] << 16u);
}

fn scale_of(block: u32) -> f32 {
  return half_to_float(w[block / 4u] >> (8u * (block % 4u)));
}

fn signed_bytes(word: u32) -> vec4f {
  let four = bitcast<i32>(word);
  return vec4f(vec4i(four << 24u, four << 16u, four << 8u, four) >> vec4u(24u));
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let at = row * p.weight.columns + column;
  let block = (at / 32u) * 34u;
  return scale_of(block) * signed_bytes(word_at(block + 2u + at % 32u));
}

fn weight8_aligned(row: u32, column: u32) -> array<vec4f, 2> {
  let at = row * p.weight.columns + column;
  let block = (at / 32u) * 34u;
  let scale = scale_of(block);
  let byte = block + 2u + at % 32u;
  var words = vec3u(w[byte / 4u], w[byte / 4u + 1u], 0u);
  if (byte % 4u != 0u) {
    words.z = w[byte / 4u + 2u];
    words = vec3u((words.x >> 16u) | (words.y << 16u), (words.y >> 16u) | (words.z << 16u), 0u);
  }
  return array(scale * signed_bytes(words.x), scale * signed_bytes(words.y));
}

fn weight1(row: u32, column: u32) -> f32 {
  return weight4_aligned(row, column - column % 4u)[column % 4u];
}
