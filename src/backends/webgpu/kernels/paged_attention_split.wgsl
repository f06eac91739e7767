// paged_attention for tokens of different sequences (decoding): the positions that a token sees are
// divided over SPLITS workgroups (flash-decoding, Dao et al. 2023), so that one token keeps a whole GPU
// reading. A workgroup takes one part of the positions for SHARE query heads of one key head, which so
// read its keys and values once, and walks it TILE positions at a time with a running maximum (online
// softmax, Milakov and Gimelshein 2018): TEAM lanes share KEYS keys, then COLUMNS lanes share a value.
// What it leaves of each head is a row of sums and, behind it, the largest score and the total weight,
// for paged_attention_merge; with one split alone, the result. With HALF the pages hold f16.
struct Params {
  tokens: u32, heads: u32, kv_heads: u32, value_width: u32,
  entries: u32, window: u32, chunk: u32, fault: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<storage, read> q: array<vec4f>;
//#if HALF
@group(0) @binding(3) var<storage, read> k: array<vec4u>;
@group(0) @binding(4) var<storage, read> v: array<vec2u>;
//#else
@group(0) @binding(3) var<storage, read> k: array<vec4f>;
@group(0) @binding(4) var<storage, read> v: array<vec4f>;
//#endif
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read> slots: array<i32>;
@group(0) @binding(7) var<storage, read> page_table: array<i32>;
//#include grid
//#include pages
//#include visible
//#include fault
//#include half

const LOWEST: f32 = -3.4028234e38;
const TEAMS: u32 = GROUP / TEAM;
const TILE: u32 = TEAMS * KEYS;
const EIGHTS: u32 = HEAD / 8u;
const COLUMNS: u32 = VALUE / 4u;
const ROWS: u32 = GROUP / COLUMNS;
// Lanes that look for a head's largest score.
const SCANS: u32 = 8u;
// Positions below which a part is not worth a workgroup.
const LEAST_SHARE: u32 = 16u;
var<workgroup> query: array<vec4f, SHARE * HEAD / 4u>;
var<workgroup> weights: array<f32, SHARE * TILE>;
var<workgroup> tops: array<f32, SHARE * SCANS>;
var<workgroup> largest: array<f32, SHARE>;
var<workgroup> keep: array<f32, SHARE>;
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
//#else
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
    if (lane < SHARE) { out[((first_head + lane) * SPLITS + split) * (COLUMNS + 1u) + COLUMNS] = vec4f(LOWEST, 0.0, 0.0, 0.0); }
    return;
  }

  for (var i = lane; i < SHARE * HEAD / 4u; i += GROUP) { query[i] = q[first_head * HEAD / 4u + i] * p.scale; }
  if (lane < SHARE) { largest[lane] = LOWEST; }
  let member = lane % TEAM;
  let mine = lane / TEAM;
  let width = p.value_width / 4u;
  let column = lane % COLUMNS;
  let row = lane / COLUMNS;
  var sum = array<vec4f, SHARE>();
  var total = array<f32, SHARE>();
  for (var tile = begin; tile < until; tile += TILE) {
    let count = min(until - tile, TILE);
    workgroupBarrier();
    var at = array<u32, KEYS>();
    for (var n = 0u; n < KEYS; n++) {
      let i = mine + n * TEAMS;
      let position = min(tile + i, until - 1u);
      var page = page_of(slot, position / PAGE);
      if (page < 0) { raise(p.fault, i32(position)); page = 0; }
      at[n] = (u32(page) * p.kv_heads + kv_head) * PAGE + position % PAGE;
      if (member == 0u) { stored[i] = at[n]; }
    }
    var dots = array<f32, SHARE * KEYS>();
    for (var i = member; i < EIGHTS; i += TEAM) {
      var keys = array<array<vec4f, 2>, KEYS>();
      for (var n = 0u; n < KEYS; n++) {
        if (n * TEAMS < count) { keys[n] = key8(at[n] * EIGHTS + i); }
      }
      for (var h = 0u; h < SHARE; h++) {
        let a = query[(h * EIGHTS + i) * 2u];
        let b = query[(h * EIGHTS + i) * 2u + 1u];
        for (var n = 0u; n < KEYS; n++) {
          if (n * TEAMS < count) { dots[h * KEYS + n] += dot(a, keys[n][0]) + dot(b, keys[n][1]); }
        }
      }
    }
    // Positions beyond the part's end weigh nothing.
    for (var h = 0u; h < SHARE; h++) {
      for (var n = 0u; n < KEYS; n++) {
        let score = team_sum(dots[h * KEYS + n], lane);
        let i = mine + n * TEAMS;
        if (member == (h * KEYS + n) % TEAM) { weights[h * TILE + i] = select(LOWEST, score, i < count); }
      }
    }
    workgroupBarrier();
    if (lane < SHARE * SCANS) {
      var top = LOWEST;
      for (var i = lane % SCANS; i < TILE; i += SCANS) { top = max(top, weights[lane / SCANS * TILE + i]); }
      tops[lane] = top;
    }
    workgroupBarrier();
    if (lane < SHARE) {
      var now = largest[lane];
      for (var i = 0u; i < SCANS; i++) { now = max(now, tops[lane * SCANS + i]); }
      keep[lane] = exp(largest[lane] - now);
      largest[lane] = now;
    }
    workgroupBarrier();
    for (var i = lane; i < SHARE * TILE; i += GROUP) {
      weights[i] = select(0.0, exp(weights[i] - largest[i / TILE]), i % TILE < count);
    }
    workgroupBarrier();
    for (var h = 0u; h < SHARE; h++) { sum[h] *= keep[h]; total[h] *= keep[h]; }
    if (row < ROWS) {
      // Four values at a time, loaded before any is used: the loads do not wait for each other.
      for (var r = row; r < count; r += 4u * ROWS) {
        let rows = vec4u(r, r + ROWS, r + 2u * ROWS, r + 3u * ROWS);
        let there = min(rows, vec4u(count - 1u));
        let a = value4(stored[there.x] * width + column);
        let b = value4(stored[there.y] * width + column);
        let c = value4(stored[there.z] * width + column);
        let d = value4(stored[there.w] * width + column);
        for (var h = 0u; h < SHARE; h++) {
          let base = h * TILE;
          let w = select(vec4f(), vec4f(weights[base + there.x], weights[base + there.y], weights[base + there.z], weights[base + there.w]), rows < vec4u(count));
          sum[h] += w.x * a + w.y * b + w.z * c + w.w * d;
          total[h] += w.x + w.y + w.z + w.w;
        }
      }
    }
  }
  for (var h = 0u; h < SHARE; h++) {
    workgroupBarrier();
    sums[lane] = sum[h];
    totals[lane] = total[h];
    workgroupBarrier();
    if (lane < COLUMNS) {
      var all = sums[lane];
      var weight = totals[lane];
      for (var r = 1u; r < ROWS; r++) { all += sums[r * COLUMNS + lane]; weight += totals[r * COLUMNS + lane]; }
      if (SPLITS == 1u) {
        out[(first_head + h) * COLUMNS + lane] = all / weight;
      } else {
        let base = ((first_head + h) * SPLITS + split) * (COLUMNS + 1u);
        out[base + lane] = all;
        if (lane == 0u) { out[base + COLUMNS] = vec4f(largest[h], weight, 0.0, 0.0); }
      }
    }
  }
}
