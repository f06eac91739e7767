// Four e4m3 bytes a word; float32 scales per block follow the bytes where SCALED.
@group(0) @binding(3) var<storage, read> w: array<u32>;

fn e4m3(byte: u32) -> f32 {
  let magnitude = byte & 0x7fu;
  // Exponent and fraction moved to float32's places, then 127 - 7 added to the exponent. Subnormals
  // are computed, because float32 subnormals may be flushed to zero.
  var bits = (magnitude << 20u) + (120u << 23u);
  if (magnitude < 8u) { bits = bitcast<u32>(f32(magnitude) * 0.001953125); }
  if (magnitude == 0x7fu) { bits = 0x7fc00000u; }
  return bitcast<f32>(bits | ((byte & 0x80u) << 24u));
}

fn scale_at(row: u32, column: u32) -> f32 {
//#if SCALED
  let matrix = row / p.weight.matrix_rows;
  let scale_row = matrix * p.weight.grid_rows + (row % p.weight.matrix_rows) / p.weight.block_rows;
  return bitcast<f32>(w[p.weight.scales + scale_row * p.weight.grid_columns + column / p.weight.block_columns]);
//#else
  return 1.0;
//#endif
}

fn weight1(row: u32, column: u32) -> f32 {
  let at = row * p.weight.columns + column;
  return e4m3(w[at / 4u] >> (8u * (at % 4u))) * scale_at(row, column);
}

fn weight4_aligned(row: u32, column: u32) -> vec4f {
  let word = w[(row * p.weight.columns + column) / 4u];
  let four = vec4f(e4m3(word), e4m3(word >> 8u), e4m3(word >> 16u), e4m3(word >> 24u));
  return four * vec4f(scale_at(row, column), scale_at(row, column + 1u), scale_at(row, column + 2u), scale_at(row, column + 3u));
}
