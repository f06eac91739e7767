// Attention of tokens of different sequences (decoding) from what fresh_heads prepares, for the same merge as
// paged_attention_split. Sequences are short: what takes time is one access after the other, not their number. So
// a workgroup takes its part of the positions TILE at a time: their keys and values go to workgroup memory, where
// the lanes take a score each, then four numbers of a head's result each. Where more workgroups are wanted on a
// processor than that memory allows, fresh_walk is faster.
//#include fresh_heads
//#include part
// The score of a position that the token does not see.
const UNSEEN: f32 = -1e30;
// So that neighbouring lanes, which read neighbouring keys, find them in different banks.
const KEY_STRIDE: u32 = KEY_WORDS + 1u;
var<workgroup> keys: array<KeyWords, TILE * KEY_STRIDE>;
var<workgroup> values: array<ValueWords, TILE * COLUMNS>;
var<workgroup> scores: array<f32, SHARE * TILE>;

//#if HALF
fn value_at(i: u32) -> vec4f { let words = values[i]; return vec4f(unpack_halves(words.x), unpack_halves(words.y)); }
fn key_product(head: u32, position: u32, i: u32) -> f32 {
  let words = keys[position * KEY_STRIDE + i];
  let at = head * HEAD / 4u + 2u * i;
  return dot(query[at], vec4f(unpack_halves(words.x), unpack_halves(words.y))) + dot(query[at + 1u], vec4f(unpack_halves(words.z), unpack_halves(words.w)));
}
//#else
fn value_at(i: u32) -> vec4f { return values[i]; }
fn key_product(head: u32, position: u32, i: u32) -> f32 { return dot(query[head * HEAD / 4u + i], keys[position * KEY_STRIDE + i]); }
//#endif

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let part = part_of(group_index(group, groups));
  let token = part.token;
  if (token >= p.tokens) { return; }
  let position = positions[token];
  let slot = slots[token];
  let asked = ask_heads(part.first_head, token * p.kv_heads + part.kv_head, lane);
  // Parts are of whole tiles, and pages too, so that a tile lies in one page.
  let end = u32(position) + 1u;
  let first = first_visible(end - 1u);
  let first_tile = first / TILE;
  let share = ((end - 1u) / TILE - first_tile + SPLITS) / SPLITS * TILE;
  let begin = first_tile * TILE + part.split * share;
  let until = min(begin + share, end);
  if (slot < 0 || begin >= end) {
    leave_nothing(part, lane);
    return;
  }

  //#unroll
  for (var i = 0u; i < ITEMS; i++) {
    var sum_{i} = vec4f();
    var total_{i} = 0.0;
    var largest_{i} = LOWEST;
  }
  // One turn asks for a tile while the one before is attended to.
  for (var tile = begin; ; tile += TILE) {
    let asked_tile = select(tile - TILE, tile, tile < until);
    let page = page_of(u32(slot), asked_tile / PAGE);
    if (page < 0) { note_missing(asked_tile); }
    let stored = (u32(max(page, 0)) * p.kv_heads + part.kv_head) * PAGE + asked_tile % PAGE;
    //#unroll
    for (var j = 0u; j < KEY_LOADS; j++) {
      let key_{j} = k[stored * KEY_WORDS + min(lane + j * GROUP, TILE * KEY_WORDS - 1u)];
    }
    //#unroll
    for (var j = 0u; j < VALUE_LOADS; j++) {
      let value_{j} = v[stored * COLUMNS + min(lane + j * GROUP, TILE * COLUMNS - 1u)];
    }
    if (tile == begin) {
      prepare_heads(asked, position, lane);
    } else {
      for (var i = lane; i < SHARE * TILE; i += GROUP) {
        //#unroll
        for (var c = 0u; c < CHAINS; c++) {
          var score_{c} = 0.0;
        }
        for (var word = 0u; word < KEY_WORDS; word += CHAINS) {
          //#unroll
          for (var c = 0u; c < CHAINS; c++) {
            score_{c} += key_product(i / TILE, i % TILE, word + c);
          }
        }
        var score = 0.0;
        //#unroll
        for (var c = 0u; c < CHAINS; c++) {
          score += score_{c};
        }
        let at = tile - TILE + i % TILE;
        scores[i] = select(UNSEEN, score, at >= first && at < end);
      }
      workgroupBarrier();
      let count = min(until + TILE - tile, TILE);
      //#unroll
      for (var i = 0u; i < ITEMS; i++) {
        let head_{i} = min(lane + i * GROUP, SHARE * COLUMNS - 1u) / COLUMNS;
        let column_{i} = (lane + i * GROUP) % COLUMNS;
        var most_{i} = largest_{i};
        for (var at = 0u; at < count; at += 4u) {
          let scores_at = head_{i} * TILE + at;
          most_{i} = max(most_{i}, max(max(scores[scores_at], scores[scores_at + 1u]), max(scores[scores_at + 2u], scores[scores_at + 3u])));
        }
        let keep_{i} = exp(largest_{i} - most_{i});
        largest_{i} = most_{i};
        sum_{i} *= keep_{i};
        total_{i} *= keep_{i};
        for (var at = 0u; at < count; at += 4u) {
          let scores_at = head_{i} * TILE + at;
          let weights = exp(vec4f(scores[scores_at], scores[scores_at + 1u], scores[scores_at + 2u], scores[scores_at + 3u]) - most_{i});
          let value = at * COLUMNS + column_{i};
          sum_{i} += weights.x * value_at(value) + weights.y * value_at(value + COLUMNS) + weights.z * value_at(value + 2u * COLUMNS) + weights.w * value_at(value + 3u * COLUMNS);
          total_{i} += weights.x + weights.y + weights.z + weights.w;
        }
      }
      if (tile >= until) { break; }
    }
    workgroupBarrier();
    //#unroll
    for (var j = 0u; j < KEY_LOADS; j++) {
      let word_{j} = lane + j * GROUP;
      if (word_{j} < TILE * KEY_WORDS) { keys[word_{j} / KEY_WORDS * KEY_STRIDE + word_{j} % KEY_WORDS] = key_{j}; }
    }
    //#unroll
    for (var j = 0u; j < VALUE_LOADS; j++) {
      let four_{j} = lane + j * GROUP;
      // What was never written may be no number.
      let at_{j} = tile + four_{j} / COLUMNS;
      if (four_{j} < TILE * COLUMNS) { values[four_{j}] = select(ValueWords(), value_{j}, at_{j} >= first && at_{j} < end); }
    }
    if (until == end && tile + TILE >= end) {
      workgroupBarrier();
      let newest = end - 1u - tile;
      for (var i = lane; i < KEY_WORDS; i += GROUP) {
        let words = new_key(i);
        keys[newest * KEY_STRIDE + i] = words;
        if (page >= 0) { k[(stored + newest) * KEY_WORDS + i] = words; }
      }
      //#unroll
      for (var j = 0u; j < FOURS; j++) {
        let column_{j} = lane + j * GROUP;
        if (column_{j} < COLUMNS) {
          let words = value_words(asked.values[j]);
          values[newest * COLUMNS + column_{j}] = words;
          if (page >= 0) { v[(stored + newest) * COLUMNS + column_{j}] = words; }
        }
      }
    }
    workgroupBarrier();
  }
  //#unroll
  for (var i = 0u; i < ITEMS; i++) {
    let item_{i} = lane + i * GROUP;
    if (item_{i} < SHARE * COLUMNS) {
      let base_{i} = ((part.first_head + item_{i} / COLUMNS) * SPLITS + part.split) * (COLUMNS + 1u);
      out[base_{i} + item_{i} % COLUMNS] = sum_{i};
      if (item_{i} % COLUMNS == 0u) { out[base_{i} + COLUMNS] = vec4f(largest_{i}, total_{i}, noted(), 0.0); }
    }
  }
}
