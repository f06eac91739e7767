// Blocks of 18 bytes: an f16 scale, then 32 nibbles around 8; number i is the low half of byte i, number
// i + 16 the high one. PACKED: eight blocks' nibbles as signed numbers, then their scales.
//#include weight_blocks

fn eight_of_block(row: u32, column: u32) -> Eight {
  let at = row * p.weight.columns + column;
  var scale_at = (at / 32u) * 18u;
  var numbers_at = scale_at + 2u;
  var flip = 0u;
  if (PACKED) {
    numbers_at = (at / 256u) * 144u + 16u * ((at / 32u) % 8u);
    scale_at = (at / 256u) * 144u + 128u + 2u * ((at / 32u) % 8u);
    flip = 0x88888888u;
  }
  let scale = half_at(scale_at);
  let words = (two_words(numbers_at + at % 16u) ^ vec2u(flip)) >> vec2u((at & 16u) >> 2u);
  return Eight(nibbles(words.x), nibbles(words.y), 2.0 * scale, -24.0 * scale);
}
