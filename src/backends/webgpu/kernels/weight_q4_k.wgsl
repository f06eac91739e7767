// Blocks of 144 bytes for 256 numbers: the f16 scales of scales and of minima, eight 6-bit scales and
// minima in 12 bytes, then nibbles; two runs of 32 numbers share 32 bytes.
//#include weight_blocks

fn eight_of_block(row: u32, column: u32) -> Eight {
  let at = row * p.weight.columns + column;
  let first = (at / 256u) * 36u;
  let run = (at / 32u) % 8u;
  let d = unpack_halves(w[first]);
  // Of runs 4 to 7 the upper two bits lie above those of runs 0 to 3.
  let place = 8u * (run % 4u);
  let scales = w[first + 1u] >> place;
  let minima = w[first + 2u] >> place;
  let later = w[first + 3u] >> place;
  let upper = run >= 4u;
  let scale = d.x * f32(select(scales & 63u, (later & 15u) | ((scales >> 2u) & 48u), upper));
  let minimum = d.y * f32(select(minima & 63u, ((later >> 4u) & 15u) | ((minima >> 2u) & 48u), upper));
  let words_at = first + 4u + 8u * (run / 2u) + (at % 32u) / 4u;
  let words = vec2u(w[words_at], w[words_at + 1u]) >> vec2u(4u * (run % 2u));
  return Eight(nibbles(words.x), nibbles(words.y), 2.0 * scale, -16.0 * scale - minimum);
}
