// Attention of tokens of different sequences (decoding) from what fresh_heads prepares, as paged_attention_split
// does it from queries and pages.
//#include fresh_heads
//#include part_walk

// Row `to` of the stores becomes the token's key and value.
fn store_newest(to: u32, asked: Asked, lane: u32) {
  for (var i = lane; i < KEY_WORDS; i += GROUP) { k[to * KEY_WORDS + i] = new_key(i); }
//#unroll
  for (var j = 0u; j < FOURS; j++) {
    if (lane + j * GROUP < COLUMNS) { v[to * COLUMNS + lane + j * GROUP] = value_words(asked.values[j]); }
  }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let part = part_of(group_index(group, groups));
  let token = part.token;
  if (token >= p.tokens) { return; }
  let position = positions[token];
  let slot = slots[token];
  let asked = ask_heads(part.first_head, token * p.kv_heads + part.kv_head, lane);
  let end = u32(position) + 1u;
  let first = first_visible(end - 1u);
  let share = max((end - first + SPLITS - 1u) / SPLITS, WALK);
  let begin = min(first + part.split * share, end);
  let until = min(begin + share, end);
  if (slot < 0 || begin == until) {
    leave_nothing(part, lane);
    return;
  }
  prepare_heads(asked, position, lane);
  if (until == end) {
    // A missing page is noted by the walk.
    let page = page_of(u32(slot), (end - 1u) / PAGE);
    if (page >= 0) { store_newest((u32(page) * p.kv_heads + part.kv_head) * PAGE + (end - 1u) % PAGE, asked, lane); }
  }
  storageBarrier();
  walk(part, u32(slot), begin, until, lane);
}
