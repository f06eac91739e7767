// paged_attention where heads are whole vectors of four: softmax attention of q [T, N, HEAD] over
// pages of keys [P, K, 64, HEAD] and values [P, K, 64, value_width], of which the first VALUE columns
// count. A workgroup per token and query head walks GROUP positions at a time with a running maximum
// (online softmax, Milakov and Gimelshein 2018): TEAM lanes share a key, then a lane per position
// weighs it, then COLUMNS lanes share a value and ROWS values are added up at once. With HALF the
// pages hold f16.
//#include paged_operands
//#include grid
//#include reduce
//#include pages
//#include visible
//#include fault
//#include half

const LOWEST: f32 = -3.4028234e38;
const TEAM: u32 = 4u;
const KEY: u32 = HEAD / 4u;
const COLUMNS: u32 = VALUE / 4u;
const ROWS: u32 = GROUP / COLUMNS;
var<workgroup> query: array<vec4f, KEY>;
var<workgroup> products: array<f32, TEAM * GROUP>;
var<workgroup> weights: array<f32, GROUP>;
var<workgroup> parts: array<vec4f, GROUP>;
// Row of the store in which this head of each position of the tile lies.
var<workgroup> stored: array<u32, GROUP>;

//#if HALF
fn key4(i: u32) -> vec4f { let two = k[i]; return vec4f(unpack_halves(two.x), unpack_halves(two.y)); }
fn value4(i: u32) -> vec4f { let two = v[i]; return vec4f(unpack_halves(two.x), unpack_halves(two.y)); }
//#else
fn key4(i: u32) -> vec4f { return k[i]; }
fn value4(i: u32) -> vec4f { return v[i]; }
//#endif

// A lane's share of the products of the query with the keys of rows [low, high) of the tile.
fn multiply_keys(low: u32, high: u32, lane: u32) {
  let member = lane % TEAM;
  for (var r = low + lane / TEAM; r < high; r += GROUP / TEAM) {
    let base = stored[r] * KEY;
    var sum = vec4f();
    for (var i = member; i < KEY; i += TEAM) { sum += query[i] * key4(base + i); }
    products[r * TEAM + member] = sum.x + sum.y + sum.z + sum.w;
  }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let token = item / p.heads;
  if (token >= p.tokens) { return; }
  if (slots[token] < 0) {
    if (lane < COLUMNS) { out[item * COLUMNS + lane] = vec4f(); }
    return;
  }
  for (var i = lane; i < KEY; i += GROUP) { query[i] = q[item * KEY + i]; }
  let slot = u32(slots[token]);
  let head = (item % p.heads) * p.kv_heads / p.heads;
  let end = u32(positions[token]) + 1u;
  let first = first_visible(end - 1u);
  let width = p.value_width / 4u;
  let column = lane % COLUMNS;
  let row = lane / COLUMNS;
  var sum = vec4f();
  var largest = LOWEST;
  var total = 0.0;
  for (var tile = first / PAGE * PAGE; tile < end; tile += GROUP) {
    let low = max(first, tile) - tile;
    let high = min(end - tile, GROUP);
    for (var page = tile / PAGE; page * PAGE < tile + high; page++) {
      if (page_of(slot, page) < 0) {
        if (lane == 0u) { raise(p.fault, i32(page * PAGE)); }
        return;
      }
    }
    workgroupBarrier();
    // Rows that are not visible may hold anything, so they stay unread.
    let visible = lane >= low && lane < high;
    if (visible) { stored[lane] = (u32(page_of(slot, (tile + lane) / PAGE)) * p.kv_heads + head) * PAGE + lane % PAGE; }
    workgroupBarrier();
    multiply_keys(low, high, lane);
    workgroupBarrier();
    var mine = LOWEST;
    if (visible) {
      mine = 0.0;
      for (var i = 0u; i < TEAM; i++) { mine += products[lane * TEAM + i] * p.scale; }
    }
    let now = max(largest, reduce_max(mine, lane));
    let keep = exp(largest - now);
    largest = now;
    let weight = select(0.0, exp(mine - now), visible);
    weights[lane] = weight;
    total = total * keep + reduce_sum(weight, lane);
    sum *= keep;
    if (row < ROWS) {
      // Four values at a time, loaded before any is used: the loads do not wait for each other.
      for (var r = low + row; r < high; r += 4u * ROWS) {
        let rows = min(vec4u(r, r + ROWS, r + 2u * ROWS, r + 3u * ROWS), vec4u(high - 1u));
        let a = value4(stored[rows.x] * width + column);
        let b = value4(stored[rows.y] * width + column);
        let c = value4(stored[rows.z] * width + column);
        let d = value4(stored[rows.w] * width + column);
        sum += weights[rows.x] * a;
        if (r + ROWS < high) { sum += weights[rows.y] * b; }
        if (r + 2u * ROWS < high) { sum += weights[rows.z] * c; }
        if (r + 3u * ROWS < high) { sum += weights[rows.w] * d; }
      }
    }
  }
  parts[lane] = sum;
  workgroupBarrier();
  if (lane < COLUMNS) {
    for (var r = 1u; r < ROWS; r++) { sum += parts[r * COLUMNS + lane]; }
    out[item * COLUMNS + lane] = sum / total;
  }
}
