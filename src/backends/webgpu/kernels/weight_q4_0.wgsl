// Blocks of 18 bytes: an f16 scale, then 32 nibbles around 8; number i is the low half of byte i, number
// i + 16 the high one.
//#include weight_blocks

fn eight_of_block(row: u32, column: u32) -> Eight {
  let at = row * p.weight.columns + column;
  let block = (at / 32u) * 18u;
  let scale = half_at(block);
  let words = two_words(block + 2u + at % 16u) >> vec2u((at & 16u) >> 2u);
  return Eight(nibbles(words.x), nibbles(words.y), 2.0 * scale, -24.0 * scale);
}
