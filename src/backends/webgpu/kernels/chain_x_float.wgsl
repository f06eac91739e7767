// x of a stage in float32.
fn stage_x(quad: u32, four: vec4f, lane: u32) {
  if (quad < X_COLUMNS / 4u) { staged[quad] = bitcast<vec4u>(four); }
}
