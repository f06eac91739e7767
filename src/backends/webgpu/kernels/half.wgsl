// f16 to f32.
fn unpack_halves(word: u32) -> vec2f {
  return unpack2x16float(word);
}

fn half_to_float(bits: u32) -> f32 {
  return unpack2x16float(bits).x;
}

// f32 to f16, to nearest even: what pack2x16float rounds to is the driver's choice.
fn half_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x47800000u) { return sign | 0x7c00u; }
  if (size < 0x38800000u) {
    // Below the least normal f16, in units of 2^-24. A GPU may take denormals for zero, which they round to.
    let units = abs(x) * 16777216.0;
    let whole = floor(units);
    let rest = units - whole;
    let up = rest > 0.5 || (rest == 0.5 && (u32(whole) & 1u) == 1u);
    return sign | (u32(whole) + select(0u, 1u, up));
  }
  return sign | min((size + 0xfffu + ((size >> 13u) & 1u) - 0x38000000u) >> 13u, 0x7c00u);
}
