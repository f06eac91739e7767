// Blocks of 210 bytes for 256 numbers around 32: 128 bytes of low nibbles, 64 bytes of upper pairs of
// bits, 16 signed scales, the f16 scale of those. Each half of the block has its own half of the bytes.
//#include weight_blocks

// A number n of six bits a byte as 8 + n / 8.
fn six_bits(low: u32, high: u32) -> vec4f {
  let n = (low & 0x0f0f0f0fu) | ((high & 0x03030303u) << 4u);
  return bitcast<vec4f>((vec4u(n << 17u, n << 9u, n << 1u, n >> 7u) & vec4u(0x007e0000u)) | vec4u(0x41000000u));
}

fn eight_of_block(row: u32, column: u32) -> Eight {
  let at = row * p.weight.columns + column;
  let block = (at / 256u) * 210u;
  let part = (at / 128u) % 2u;
  let run = (at / 32u) % 4u;
  let low = two_words(block + 64u * part + at % 64u) >> vec2u(4u * (run / 2u));
  let high = two_words(block + 128u + 32u * part + at % 32u) >> vec2u(2u * run);
  let byte = block + 192u + (at % 256u) / 16u;
  let signed = bitcast<i32>((w[byte / 4u] >> (8u * (byte % 4u))) << 24u) >> 24u;
  let scale = half_at(block + 208u) * f32(signed);
  return Eight(six_bits(low.x, high.x), six_bits(low.y, high.y), 8.0 * scale, -96.0 * scale);
}
