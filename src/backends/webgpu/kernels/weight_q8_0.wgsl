// Blocks of 34 bytes: an f16 scale, then 32 signed bytes. PACKED: eight blocks' bytes, then their scales.
//#include weight_blocks

// Bytes at which the scale of number `at` lies, and the number.
fn places(at: u32) -> vec2u {
  if (PACKED) { return (at / 256u) * 272u + vec2u(256u + 2u * ((at / 32u) % 8u), at % 256u); }
  return (at / 32u) * 34u + vec2u(0u, 2u + at % 32u);
}

fn signed_bytes(word: u32) -> vec4f {
  let four = bitcast<i32>(word);
  return vec4f(vec4i(four << 24u, four << 16u, four << 8u, four) >> vec4u(24u));
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let place = places(row * p.weight.columns + column);
  return half_at(place.x) * signed_bytes(word_at(place.y));
}

// A byte b, made unsigned, as 128 + (b + 128) / 2.
fn bytes_behind(word: u32) -> vec4f {
  let u = word ^ 0x80808080u;
  return bitcast<vec4f>((vec4u(u << 15u, u << 7u, u >> 1u, u >> 9u) & vec4u(0x007f8000u)) | vec4u(0x43000000u));
}

fn eight_of_block(row: u32, column: u32) -> Eight {
  let place = places(row * p.weight.columns + column);
  let scale = half_at(place.x);
  let words = two_words(place.y);
  return Eight(bytes_behind(words.x), bytes_behind(words.y), 2.0 * scale, -384.0 * scale);
}
