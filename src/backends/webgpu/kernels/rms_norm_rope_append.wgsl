// rms_norm_rope_append: the norm and rotation (see rms_norm_rope) of every query and key head of a step, of
// which the keys and the values [T, K, H] go to their pages (see kv_append). A workgroup per head of the
// three, which lies in workgroup memory in between. A missing page is left to the attention over it to report.
struct Params { tokens: u32, heads: u32, kv_heads: u32, frequencies: u32, eps: f32, offset: f32, amplitude: f32, direction: f32, entries: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read_write> k_store: array<Stored>;
@group(0) @binding(3) var<storage, read_write> v_store: array<Stored>;
@group(0) @binding(4) var<storage, read> q: array<f32>;
@group(0) @binding(5) var<storage, read> k: array<f32>;
@group(0) @binding(6) var<storage, read> v: array<f32>;
@group(0) @binding(7) var<storage, read> q_weight: array<f32>;
@group(0) @binding(8) var<storage, read> k_weight: array<f32>;
@group(0) @binding(9) var<storage, read> positions: array<i32>;
@group(0) @binding(10) var<storage, read> frequency: array<f32>;
@group(0) @binding(11) var<storage, read> slots: array<i32>;
@group(0) @binding(12) var<storage, read> page_table: array<i32>;
//#include grid
//#include group_reduce
//#include pages
//#include rotation
//#include half

var<workgroup> row: array<f32, HEAD>;
//#if HALF
alias Stored = u32;
const WORDS: u32 = HEAD / 2u;
fn stored(i: u32) -> Stored { return half_bits(row[2u * i]) | (half_bits(row[2u * i + 1u]) << 16u); }
//#else
alias Stored = f32;
const WORDS: u32 = HEAD;
fn stored(i: u32) -> Stored { return row[i]; }
//#endif

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let token = item / (p.heads + 2u * p.kv_heads);
  if (token >= p.tokens) { return; }
  var head = item % (p.heads + 2u * p.kv_heads);
  let is_query = head < p.heads;
  let is_value = head >= p.heads + p.kv_heads;
  if (!is_query) { head = (head - p.heads) % p.kv_heads; }
  let from_row = (token * select(p.kv_heads, p.heads, is_query) + head) * HEAD;
  var squares = 0.0;
  for (var i = lane; i < HEAD; i += GROUP) {
    var number = 0.0;
    if (is_query) { number = q[from_row + i]; } else if (is_value) { number = v[from_row + i]; } else { number = k[from_row + i]; }
    row[i] = number;
    squares += number * number;
  }
  let inverse = 1.0 / sqrt(group_sum(squares, lane) / f32(HEAD) + p.eps);
  let position = positions[token];
  if (!is_value) {
    for (var i = lane; i < HEAD; i += GROUP) {
      var weight = 0.0;
      if (is_query) { weight = q_weight[i]; } else { weight = k_weight[i]; }
      row[i] *= inverse * (weight + p.offset);
    }
    workgroupBarrier();
    for (var f = lane; f < p.frequencies; f += GROUP) {
      let at = pair_at(f);
      let pair = turned(vec2f(row[at.x], row[at.y]), position, f);
      row[at.x] = pair.x;
      row[at.y] = pair.y;
    }
  }
  workgroupBarrier();
  if (is_query) {
    for (var i = lane; i < HEAD; i += GROUP) { out[from_row + i] = row[i]; }
    return;
  }
  if (slots[token] < 0) { return; }
  let page = page_of(u32(slots[token]), u32(position) / PAGE);
  if (page < 0) { return; }
  let to = ((u32(page) * p.kv_heads + head) * PAGE + u32(position) % PAGE) * WORDS;
  for (var i = lane; i < WORDS; i += GROUP) {
    if (is_value) { v_store[to + i] = stored(i); } else { k_store[to + i] = stored(i); }
  }
}
