// Blocks of 34 bytes: an f16 scale, then 32 signed bytes.
//#include weight_blocks

fn signed_bytes(word: u32) -> vec4f {
  let four = bitcast<i32>(word);
  return vec4f(vec4i(four << 24u, four << 16u, four << 8u, four) >> vec4u(24u));
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let at = row * p.weight.columns + column;
  let block = (at / 32u) * 34u;
  return half_at(block) * signed_bytes(word_at(block + 2u + at % 32u));
}

// A byte b, made unsigned, as 128 + (b + 128) / 2.
fn bytes_behind(word: u32) -> vec4f {
  let u = word ^ 0x80808080u;
  return bitcast<vec4f>((vec4u(u << 15u, u << 7u, u >> 1u, u >> 9u) & vec4u(0x007f8000u)) | vec4u(0x43000000u));
}

fn eight_of_block(row: u32, column: u32) -> Eight {
  let at = row * p.weight.columns + column;
  let block = (at / 32u) * 34u;
  let scale = half_at(block);
  let words = two_words(block + 2u + at % 32u);
  return Eight(bytes_behind(words.x), bytes_behind(words.y), 2.0 * scale, -384.0 * scale);
}
