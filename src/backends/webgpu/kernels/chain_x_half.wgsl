// x of a stage in f16, 32 neighbours with one scale.
fn stage_x(quad: u32, four: vec4f, lane: u32) {
  let size = abs(four);
  let largest = largest_of_eight(max(max(size.x, size.y), max(size.z, size.w)), lane);
  let inverse = select(0.0, 1.0 / largest, largest > 1e-30);
  let mine = vec2u(pack2x16float(four.xy * inverse), pack2x16float(four.zw * inverse));
  let others = vec2u(across(mine.x, lane, 1u), across(mine.y, lane, 1u));
  if (quad < X_COLUMNS / 4u) {
    if (quad % 2u == 0u) { staged[quad / 2u] = vec4u(mine, others); }
    if (quad % 8u == 0u) { block_scales[quad / 8u] = largest; }
  }
}
