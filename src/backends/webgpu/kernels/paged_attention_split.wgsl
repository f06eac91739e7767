// paged_attention for tokens of different sequences (decoding): the positions that a token sees are
// divided over SPLITS workgroups (flash-decoding, Dao et al. 2023), so that one token keeps a whole GPU
// reading. A workgroup takes one part of the positions for SHARE query heads of one key head (see part_walk).
// With one split alone what it leaves is the result. With HALF the pages hold f16.
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
fn note_missing(position: u32) { raise(p.fault, i32(position)); }
fn noted() -> f32 { return 0.0; }
var<workgroup> query: array<vec4f, SHARE * HEAD / 4u>;
//#include part_walk
// Positions below which a part is not worth a workgroup: a tile takes as long when it is not full.
const LEAST_SHARE: u32 = max(WALK, 16u);

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let part = part_of(group_index(group, groups));
  let token = part.token;
  if (token >= p.tokens) { return; }
  if (slots[token] < 0) {
    if (SPLITS == 1u) {
      for (var i = lane; i < SHARE * COLUMNS; i += GROUP) { out[part.first_head * COLUMNS + i] = vec4f(); }
    } else {
      leave_nothing(part, lane);
    }
    return;
  }
  let slot = u32(slots[token]);
  let end = u32(positions[token]) + 1u;
  let first = first_visible(end - 1u);
  let share = max((end - first + SPLITS - 1u) / SPLITS, LEAST_SHARE);
  let begin = min(first + part.split * share, end);
  let until = min(begin + share, end);
  if (begin == until) {
    leave_nothing(part, lane);
    return;
  }

  for (var i = lane; i < SHARE * HEAD / 4u; i += GROUP) { query[i] = q[part.first_head * HEAD / 4u + i] * p.scale; }
  walk(part, slot, begin, until, lane);
}
