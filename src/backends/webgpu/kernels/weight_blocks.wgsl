// What block formats share: bytes that begin on even addresses, and numbers from small integers without
// conversions, of which GPUs do few at a time: an integer put behind the exponent of a power of two is a
// float32 number as it is.
@group(0) @binding(3) var<storage, read> w: array<u32>;
//#include half

fn word_at(byte: u32) -> u32 {
  let at = byte / 4u;
  if (byte % 4u == 0u) { return w[at]; }
  return (w[at] >> 16u) | (w[at + 1u] << 16u);
}

fn two_words(byte: u32) -> vec2u {
  let at = byte / 4u;
  let words = vec2u(w[at], w[at + 1u]);
  if (byte % 4u == 0u) { return words; }
  return (words >> vec2u(16u)) | (vec2u(words.y, w[at + 2u]) << vec2u(16u));
}

fn half_at(byte: u32) -> f32 {
  return half_to_float(w[byte / 4u] >> (8u * (byte % 4u)));
}

// Each nibble n of the low halves of four bytes as 8 + n / 2.
fn nibbles(word: u32) -> vec4f {
  return bitcast<vec4f>((vec4u(word << 19u, word << 11u, word << 3u, word >> 5u) & vec4u(0x00780000u)) | vec4u(0x41000000u));
}
