// Attention of tokens of different sequences (decoding) from queries, keys and values as they come from their
// products: the norms and rotation of fresh_heads, the newest key and value into their page, and what
// paged_attention_split does, for the same merge. A workgroup serves SHARE query heads of one key head and takes
// every SPLITS-th tile of TILE positions: their keys and values go to workgroup memory, where the lanes take a
// score each, then four numbers of a head's result each.
//
// Where few positions are seen what takes time is to wait for one thing before the next can be asked for, so all
// is asked for as early as it can be.
struct Params {
  tokens: u32, heads: u32, kv_heads: u32, value_width: u32,
  entries: u32, window: u32, chunk: u32, fault: u32, scale: f32,
  frequencies: u32, eps: f32, offset: f32, amplitude: f32, direction: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
//#if HALF
alias KeyWords = vec4u;
alias ValueWords = vec2u;
const KEY_WORDS: u32 = HEAD / 8u;
//#else
alias KeyWords = vec4f;
alias ValueWords = vec4f;
const KEY_WORDS: u32 = HEAD / 4u;
//#endif
const COLUMNS: u32 = VALUE / 4u;
const LOWEST: f32 = -3.4028234e38;
// The score of a position that the token does not see.
const UNSEEN: f32 = -1e30;
// From one tile of a workgroup to its next.
const STRIDE: u32 = SPLITS * TILE;
// So that neighbouring lanes, which read neighbouring keys, find them in different banks.
const KEY_STRIDE: u32 = KEY_WORDS + 1u;
var<workgroup> keys: array<KeyWords, TILE * KEY_STRIDE>;
var<workgroup> values: array<ValueWords, TILE * COLUMNS>;
var<workgroup> scores: array<f32, SHARE * TILE>;
//#include fresh_heads
//#include grid
//#include pages
//#include visible

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

// Of a part without positions.
fn leave_nothing(first_head: u32, split: u32, lane: u32) {
  if (lane < SHARE) { out[((first_head + lane) * SPLITS + split) * (COLUMNS + 1u) + COLUMNS] = vec4f(LOWEST, 0.0, 0.0, 0.0); }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let split = item % SPLITS;
  let first_head = item / SPLITS * SHARE;
  let token = first_head / p.heads;
  if (token >= p.tokens) { return; }
  let kv_head = first_head % p.heads * p.kv_heads / p.heads;
  let position = positions[token];
  let slot = slots[token];
  let asked = ask_heads(first_head, token * p.kv_heads + kv_head, lane);
  // Pages are of whole tiles too, so that a tile lies in one page.
  let end = u32(position) + 1u;
  let first = first_visible(end - 1u);
  let skipped = (max(first / TILE, split) - split + SPLITS - 1u) / SPLITS;
  let begin = split * TILE + skipped * STRIDE;
  if (slot < 0 || begin >= end) {
    leave_nothing(first_head, split, lane);
    return;
  }

  // A missing page is reported by the merge, as its first position and one more.
  var missing = 0u;
  //#unroll
  for (var i = 0u; i < ITEMS; i++) {
    var sum_{i} = vec4f();
    var total_{i} = 0.0;
    var largest_{i} = LOWEST;
  }
  // One turn asks for a tile while the one before is attended to.
  for (var tile = begin; ; tile += STRIDE) {
    let asked_tile = select(tile - STRIDE, tile, tile < end);
    let page = page_of(u32(slot), asked_tile / PAGE);
    if (page < 0) { missing = max(missing, asked_tile + 1u); }
    let stored = (u32(max(page, 0)) * p.kv_heads + kv_head) * PAGE + asked_tile % PAGE;
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
        let at = tile - STRIDE + i % TILE;
        scores[i] = select(UNSEEN, score, at >= first && at < end);
      }
      workgroupBarrier();
      let count = min(end + STRIDE - tile, TILE);
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
      if (tile >= end) { break; }
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
    if (tile + TILE >= end) {
      workgroupBarrier();
      let newest = end - 1u - tile;
      if (lane < KEY_WORDS) {
        let words = newest_key(lane);
        keys[newest * KEY_STRIDE + lane] = words;
        if (page >= 0) { k[(stored + newest) * KEY_WORDS + lane] = words; }
      }
      if (lane < COLUMNS) {
        let words = newest_value(asked);
        values[newest * COLUMNS + lane] = words;
        if (page >= 0) { v[(stored + newest) * COLUMNS + lane] = words; }
      }
    }
    workgroupBarrier();
  }
  //#unroll
  for (var i = 0u; i < ITEMS; i++) {
    let item_{i} = lane + i * GROUP;
    if (item_{i} < SHARE * COLUMNS) {
      let base_{i} = ((first_head + item_{i} / COLUMNS) * SPLITS + split) * (COLUMNS + 1u);
      out[base_{i} + item_{i} % COLUMNS] = sum_{i};
      if (item_{i} % COLUMNS == 0u) { out[base_{i} + COLUMNS] = vec4f(largest_{i}, total_{i}, f32(missing), 0.0); }
    }
  }
}
