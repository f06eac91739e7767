// paged_attention for tokens of different sequences (decoding): the positions that a token sees are
// divided over SPLITS workgroups (flash-decoding, Dao et al. 2023), so that one token keeps a whole GPU
// reading. A workgroup takes one part of the positions for SHARE query heads of one key head, which so
// read its keys and values once, and walks it TILE positions at a time with a running maximum (online
// softmax, Milakov and Gimelshein 2018): TEAM lanes share a key, then COLUMNS lanes share a value.
// What it leaves of each head is a row of sums and, behind it, the largest score, the total weight and a missing page,
// for paged_attention_merge; with one split alone, the result. With HALF the pages hold f16.
struct Params {
  tokens: u32, heads: u32, kv_heads: u32, value_width: u32,
  entries: u32, window: u32, chunk: u32, fault: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
//#if HALF
alias KeyWords = vec4u;
alias ValueWords = vec2u;
//#else
alias KeyWords = vec4f;
alias ValueWords = vec4f;
//#endif
@group(0) @binding(2) var<storage, read> q: array<vec4f>;
@group(0) @binding(3) var<storage, read> k: array<KeyWords>;
@group(0) @binding(4) var<storage, read> v: array<ValueWords>;
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read> slots: array<i32>;
@group(0) @binding(7) var<storage, read> page_table: array<i32>;
//#include grid
//#include pages
//#include visible
//#include half
//#include fault

const LOWEST: f32 = -3.4028234e38;
const TILE: u32 = GROUP / TEAM;
const EIGHTS: u32 = HEAD / 8u;
const COLUMNS: u32 = VALUE / 4u;
const ROWS: u32 = GROUP / COLUMNS;
// Positions below which a part is not worth a workgroup: a tile takes as long when it is not full.
const LEAST_SHARE: u32 = max(TILE, 16u);
var<workgroup> query: array<vec4f, SHARE * HEAD / 4u>;
var<workgroup> weights: array<f32, SHARE * TILE>;
// The largest scores of each head's tile, of as many keys each as a subgroup has.
var<workgroup> tops: array<f32, SHARE * PARTS>;
var<workgroup> sums: array<vec4f, GROUP>;
var<workgroup> totals: array<f32, GROUP>;
// Row of the store in which this head of each position of the tile lies.
var<workgroup> stored: array<u32, TILE>;
//#if SUBGROUPS
enable subgroups;

// The sum over a team, for all of it; all lanes must call.
fn team_sum(value: f32, lane: u32) -> f32 {
  var sum = value;
  for (var apart = TEAM / 2u; apart > 0u; apart /= 2u) { sum += subgroupShuffleXor(sum, apart); }
  return sum;
}
fn note_top(head: u32, score: f32, lane: u32) {
  let top = subgroupMax(score);
  if (lane % SUBGROUP == 0u) { tops[head * PARTS + lane / SUBGROUP] = top; }
}
//#else
fn note_top(head: u32, score: f32, lane: u32) { tops[head * PARTS + lane / TEAM] = score; }
var<workgroup> products: array<f32, GROUP>;

fn team_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  products[lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < TEAM; i++) { sum += products[lane / TEAM * TEAM + i]; }
  return sum;
}
//#endif

//#if HALF
fn key8(i: u32) -> array<vec4f, 2> {
  let words = k[i];
  return array(vec4f(unpack_halves(words.x), unpack_halves(words.y)), vec4f(unpack_halves(words.z), unpack_halves(words.w)));
}
fn value4(i: u32) -> vec4f { let two = v[i]; return vec4f(unpack_halves(two.x), unpack_halves(two.y)); }
//#else
fn key8(i: u32) -> array<vec4f, 2> { return array(k[2u * i], k[2u * i + 1u]); }
fn value4(i: u32) -> vec4f { return v[i]; }
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
  if (slots[token] < 0) {
    if (SPLITS == 1u) {
      for (var i = lane; i < SHARE * COLUMNS; i += GROUP) { out[first_head * COLUMNS + i] = vec4f(); }
    } else {
      leave_nothing(first_head, split, lane);
    }
    return;
  }
  let slot = u32(slots[token]);
  let kv_head = first_head % p.heads * p.kv_heads / p.heads;
  let end = u32(positions[token]) + 1u;
  let first = first_visible(end - 1u);
  let share = max((end - first + SPLITS - 1u) / SPLITS, LEAST_SHARE);
  let begin = min(first + split * share, end);
  let until = min(begin + share, end);
  if (begin == until) {
    leave_nothing(first_head, split, lane);
    return;
  }

  for (var i = lane; i < SHARE * HEAD / 4u; i += GROUP) { query[i] = q[first_head * HEAD / 4u + i] * p.scale; }
  let member = lane % TEAM;
  let mine = lane / TEAM;
  let width = p.value_width / 4u;
  let column = lane % COLUMNS;
  let row = lane / COLUMNS;
  //#unroll
  for (var h = 0u; h < SHARE; h++) {
    var sum_{h} = vec4f();
    var total_{h} = 0.0;
    var largest_{h} = LOWEST;
  }
  for (var tile = begin; tile < until; tile += TILE) {
    let count = min(until - tile, TILE);
    workgroupBarrier();
    if (lane < TILE) {
      let position = min(tile + lane, until - 1u);
      var page = page_of(slot, position / PAGE);
      if (page < 0) { raise(p.fault, i32(position)); page = 0; }
      stored[lane] = (u32(page) * p.kv_heads + kv_head) * PAGE + position % PAGE;
    }
    workgroupBarrier();
    // All that a lane reads of the tile is asked for before any of it is used.
    let key = stored[mine] * EIGHTS;
    //#unroll
    for (var s = 0u; s < STEPS; s++) {
      let key_{s} = key8(key + min(s * TEAM + member, EIGHTS - 1u));
    }
    //#unroll
    for (var j = 0u; j < LOADS; j++) {
      let value_{j} = value4(stored[min(row + j * ROWS, TILE - 1u)] * width + column);
    }
    //#unroll
    for (var h = 0u; h < SHARE; h++) {
      var dot_{h} = 0.0;
      //#unroll
      for (var s = 0u; s < STEPS; s++) {
        if (s * TEAM + member < EIGHTS) {
          let at_{h}_{s} = 2u * (h * EIGHTS + s * TEAM + member);
          dot_{h} += dot(query[at_{h}_{s}], key_{s}[0]) + dot(query[at_{h}_{s} + 1u], key_{s}[1]);
        }
      }
      // Positions beyond the part's end weigh nothing.
      let score_{h} = select(LOWEST, team_sum(dot_{h}, lane), mine < count);
      if (member == h % TEAM) { weights[h * TILE + mine] = score_{h}; }
      note_top(h, score_{h}, lane);
    }
    workgroupBarrier();
    //#unroll
    for (var h = 0u; h < SHARE; h++) {
      var most_{h} = largest_{h};
      for (var i = 0u; i < PARTS; i++) { most_{h} = max(most_{h}, tops[h * PARTS + i]); }
      let keep_{h} = exp(largest_{h} - most_{h});
      largest_{h} = most_{h};
      sum_{h} *= keep_{h};
      total_{h} *= keep_{h};
      // Each of the TEAM groups of TILE lanes takes every TEAMth head.
      if (h % TEAM == lane / TILE) {
        let at_{h} = h * TILE + lane % TILE;
        weights[at_{h}] = select(0.0, exp(weights[at_{h}] - most_{h}), lane % TILE < count);
      }
    }
    workgroupBarrier();
    if (row < ROWS) {
      //#unroll
      for (var j = 0u; j < LOADS; j++) {
        if (row + j * ROWS < count) {
          //#unroll
          for (var h = 0u; h < SHARE; h++) {
            let weight_{j}_{h} = weights[h * TILE + row + j * ROWS];
            sum_{h} += weight_{j}_{h} * value_{j};
            total_{h} += weight_{j}_{h};
          }
        }
      }
    }
  }
  //#unroll
  for (var h = 0u; h < SHARE; h++) {
    workgroupBarrier();
    sums[lane] = sum_{h};
    totals[lane] = total_{h};
    workgroupBarrier();
    if (lane < COLUMNS) {
      var all_{h} = sums[lane];
      var weight_{h} = totals[lane];
      for (var r = 1u; r < ROWS; r++) { all_{h} += sums[r * COLUMNS + lane]; weight_{h} += totals[r * COLUMNS + lane]; }
      if (SPLITS == 1u) {
        out[(first_head + h) * COLUMNS + lane] = all_{h} / weight_{h};
      } else {
        let base_{h} = ((first_head + h) * SPLITS + split) * (COLUMNS + 1u);
        out[base_{h} + lane] = all_{h};
        if (lane == 0u) { out[base_{h} + COLUMNS] = vec4f(largest_{h}, weight_{h}, 0.0, 0.0); }
      }
    }
  }
}
