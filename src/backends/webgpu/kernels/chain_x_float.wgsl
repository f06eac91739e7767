// x of a stage in float32.
fn stage_x(quad: u32, four: vec4f, lane: u32) {
  if (quad < X_COLUMNS / 4u) { staged[quad] = bitcast<vec4u>(four); }
}

fn staged8(i: u32) -> array<vec4f, 2> { return array(bitcast<vec4f>(staged[2u * i]), bitcast<vec4f>(staged[2u * i + 1u])); }
fn scale8(i: u32) -> f32 { return 1.0; }
