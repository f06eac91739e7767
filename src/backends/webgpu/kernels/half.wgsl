// f16 to f32.
fn unpack_halves(word: u32) -> vec2f {
  return unpack2x16float(word);
}

fn half_to_float(bits: u32) -> f32 {
  return unpack2x16float(bits).x;
}
