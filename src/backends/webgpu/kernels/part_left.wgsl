// What kernels that split attention leave of a part without positions, for paged_attention_merge.
const LOWEST: f32 = -3.4028234e38;
const COLUMNS: u32 = VALUE / 4u;

fn leave_nothing(first_head: u32, split: u32, lane: u32) {
  if (lane < SHARE) { out[((first_head + lane) * SPLITS + split) * (COLUMNS + 1u) + COLUMNS] = vec4f(LOWEST, 0.0, 0.0, 0.0); }
}
