// The share of one workgroup of the kernels that split attention: SHARE query heads of a token that share a key
// head, and one of SPLITS parts of the positions. What they leave is for paged_attention_merge.
const LOWEST: f32 = -3.4028234e38;
const COLUMNS: u32 = VALUE / 4u;

struct Part { split: u32, first_head: u32, token: u32, kv_head: u32 }

fn part_of(item: u32) -> Part {
  let first_head = item / SPLITS * SHARE;
  return Part(item % SPLITS, first_head, first_head / p.heads, first_head % p.heads * p.kv_heads / p.heads);
}

// Of a part without positions.
fn leave_nothing(part: Part, lane: u32) {
  if (lane < SHARE) { out[((part.first_head + lane) * SPLITS + part.split) * (COLUMNS + 1u) + COLUMNS] = vec4f(LOWEST, 0.0, 0.0, 0.0); }
}
