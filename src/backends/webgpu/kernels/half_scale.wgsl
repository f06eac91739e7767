// Powers of two by which numbers are divided so that the largest of them lies in [2^13, 2^14) and f16
// holds all: from float32's exponent of the largest, kept where both they and their inverse are normal.
const TOP: u32 = 13u;

fn exponent_of(largest: f32) -> u32 { return clamp((bitcast<u32>(largest) >> 23u) & 0xffu, 30u, 250u); }
fn scale_of(exponent: u32) -> f32 { return bitcast<f32>((exponent - TOP) << 23u); }
fn inverse_scale(exponent: u32) -> f32 { return bitcast<f32>((254u + TOP - exponent) << 23u); }
