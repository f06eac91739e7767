// x of a stage in signed bytes, 32 neighbours with one scale.
const X_BLOCKS: u32 = X_COLUMNS / 32u;

// Where half a block lies (see quantised_row).
fn half_of(block: u32, half: u32) -> u32 { return select(2u * block + half, half * X_BLOCKS + block, HALVES_APART); }
fn x_half(row: u32, block: u32, half: u32) -> vec4u { return staged[half_of(block, half)]; }
fn x_scale(row: u32, block: u32) -> f32 { return block_scales[block]; }

fn stage_x(quad: u32, four: vec4f, lane: u32) {
  let size = abs(four);
  let largest = largest_of_eight(max(max(size.x, size.y), max(size.z, size.w)), lane);
  // Of the least numbers the inverse would overflow; they round to zero.
  let inverse = select(0.0, 127.0 / largest, largest > 1e-30);
  let bytes = pack4xI8(vec4i(round(four * inverse)));
  let words = vec4u(bytes, across(bytes, lane, 1u), across(bytes, lane, 2u), across(bytes, lane, 3u));
  if (quad < X_COLUMNS / 4u) {
    if (quad % 4u == 0u) { staged[half_of(quad / 8u, quad / 4u % 2u)] = words; }
    if (quad % 8u == 0u) { block_scales[quad / 8u] = largest / 127.0; }
  }
}
