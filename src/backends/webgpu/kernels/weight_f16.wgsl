// Two f16 a word. Unpacked without the f16 feature, which many adapters lack.
@group(0) @binding(3) var<storage, read> w: array<u32>;
//#include half

fn weight1(row: u32, column: u32) -> f32 {
  let at = row * p.weight.columns + column;
  return half_to_float(w[at / 2u] >> (16u * (at % 2u)));
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let at = (row * p.weight.columns + column) / 2u;
  return vec4f(unpack_halves(w[at]), unpack_halves(w[at + 1u]));
}
