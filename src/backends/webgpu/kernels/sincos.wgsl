// Sine and cosine of angles up to a few million, to about 1e-6. The builtins promise 2^-11 at best
// and only within [-pi, pi]; at position 100,000 that is a different rotation.
//
// The angle is turned into turns exactly: angle and 1 / (2 pi) are cut into pieces of 12 bits, so
// that each product is exact in float32 and its whole turns can be dropped before adding up.
fn turns(angle: f32) -> f32 {
  let high = bitcast<f32>(bitcast<u32>(angle) & 0xfffff000u);
  let low = angle - high;
  let c1 = 0.15911865234375; // 2607 / 2^14
  let c2 = 3.628432750701904e-5; // 2435 / 2^26
  let c3 = 6.420638326565253e-9; // the rest of 1 / (2 pi)
  var t = fract(high * c1) + fract(high * c2) + fract(low * c1) + (low * c2 + high * c3);
  t = t - floor(t);
  return select(t, t - 1.0, t > 0.5);
}

// (cos, sin), by polynomials on [-pi/4, pi/4] (Cephes, Moshier 1989).
fn cos_sin(angle: f32) -> vec2f {
  let t = turns(angle);
  let quarter = round(t * 4.0);
  let r = (t - quarter * 0.25) * 6.283185307179586;
  let s = r * r;
  let sine = r + r * s * (-1.6666654611e-1 + s * (8.3321608736e-3 - s * 1.9515295891e-4));
  let cosine = 1.0 - 0.5 * s + s * s * (4.166664568298827e-2 + s * (-1.388731625493765e-3 + s * 2.443315711809948e-5));
  switch (i32(quarter) & 3) {
    case 0: { return vec2f(cosine, sine); }
    case 1: { return vec2f(-sine, cosine); }
    case 2: { return vec2f(-cosine, -sine); }
    default: { return vec2f(sine, -cosine); }
  }
}
