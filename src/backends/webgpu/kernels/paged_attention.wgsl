// paged_attention: softmax attention of q [T, N, HEAD] over pages of keys [P, K, 64, HEAD] and
// values [P, K, 64, value_width], of which the first VALUE columns count. A workgroup per token and
// query head walks its sequence page by page with a running maximum (online softmax, Milakov and
// Gimelshein 2018). GROUP is 64: a lane per token of a page. With HALF the pages hold f16.
struct Params {
  tokens: u32, heads: u32, kv_heads: u32, value_width: u32,
  entries: u32, window: u32, chunk: u32, fault: u32, scale: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
//#if HALF
@group(0) @binding(3) var<storage, read> k: array<u32>;
@group(0) @binding(4) var<storage, read> v: array<u32>;
//#else
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> v: array<f32>;
//#endif
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read> slots: array<i32>;
@group(0) @binding(7) var<storage, read> page_table: array<i32>;
//#include grid
//#include reduce
//#include pages
//#include visible
//#include fault
//#include half

const LOWEST: f32 = -3.4028234e38;
const SPAN: u32 = (VALUE + GROUP - 1u) / GROUP;
var<workgroup> query: array<f32, HEAD>;
var<workgroup> weights: array<f32, GROUP>;

//#if HALF
fn key(i: u32) -> f32 { return half_to_float(k[i / 2u] >> (16u * (i % 2u))); }
fn value(i: u32) -> f32 { return half_to_float(v[i / 2u] >> (16u * (i % 2u))); }
//#else
fn key(i: u32) -> f32 { return k[i]; }
fn value(i: u32) -> f32 { return v[i]; }
//#endif

fn score(row: u32) -> f32 {
  var dot = 0.0;
  for (var i = 0u; i < HEAD; i++) { dot += query[i] * key(row * HEAD + i); }
  return dot * p.scale;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let token = item / p.heads;
  if (token >= p.tokens) { return; }
  let base = item * VALUE;
  if (slots[token] < 0) {
    for (var d = lane; d < VALUE; d += GROUP) { out[base + d] = 0.0; }
    return;
  }
  for (var i = lane; i < HEAD; i += GROUP) { query[i] = q[item * HEAD + i]; }
  let head = (item % p.heads) * p.kv_heads / p.heads;
  let position = u32(positions[token]);
  let first = first_visible(position);
  var sums = array<f32, SPAN>();
  var largest = LOWEST;
  var total = 0.0;
  for (var logical = first / PAGE; logical <= position / PAGE; logical++) {
    let page = page_of(u32(slots[token]), logical);
    if (page < 0) {
      if (lane == 0u) { raise(p.fault, i32(logical * PAGE)); }
      return;
    }
    workgroupBarrier();
    // Tokens [low, high) of the page are visible; other rows may hold anything, so they stay unread.
    let low = max(first, logical * PAGE) - logical * PAGE;
    let high = min(position - logical * PAGE + 1u, PAGE);
    var mine = LOWEST;
    if (lane >= low && lane < high) { mine = score((u32(page) * p.kv_heads + head) * PAGE + lane); }
    let now = max(largest, reduce_max(mine, lane));
    let keep = exp(largest - now);
    largest = now;
    weights[lane] = 0.0;
    if (lane >= low && lane < high) { weights[lane] = exp(mine - now); }
    total = total * keep + reduce_sum(weights[lane], lane);
    for (var s = 0u; s < SPAN; s++) {
      let d = lane + s * GROUP;
      var sum = sums[s] * keep;
      if (d < VALUE) {
        for (var j = low; j < high; j++) {
          sum += weights[j] * value(((u32(page) * p.kv_heads + head) * PAGE + j) * p.value_width + d);
        }
      }
      sums[s] = sum;
    }
  }
  for (var s = 0u; s < SPAN; s++) {
    let d = lane + s * GROUP;
    if (d < VALUE) { out[base + d] = sums[s] / total; }
  }
}
