// paged_attention for many tokens of a sequence: softmax attention of q [T, N, HEAD] over pages of keys
// [P, K, 64, HEAD] and values [P, K, 64, value_width], of which the first VALUE columns count. A
// workgroup takes ROWS tokens of one head and walks the pages that any of them sees with running
// maxima (FlashAttention, Dao et al. 2022): products with the keys in registers, four tokens by four
// keys a lane, then weights through workgroup memory, then four tokens by SPAN vectors of the values.
// Tokens of several sequences in one tile are taken one run after another. With HALF the pages hold f16.
//#include paged_operands
//#include grid
//#include pages
//#include visible
//#include paged_run
//#include fault
//#include half
//#include place

const LOWEST: f32 = -3.4028234e38;
const ROWS: u32 = 32u;
// Lanes that share four tokens: each has four keys of the page, and every TEAMth vector of the values.
const TEAM: u32 = 16u;
const ROW_VECTORS: u32 = ROWS / 4u;
const KEY_VECTORS: u32 = PAGE / 4u;
const DEPTH: u32 = 16u;
const KEY: u32 = HEAD / 4u;
const VALUES: u32 = VALUE / 4u;
const SPAN: u32 = (VALUES + TEAM - 1u) / TEAM;
// VALUE_ROWS values are taken at a time, so that they fit where the keys were.
const STAGE: u32 = max(DEPTH * KEY_VECTORS, VALUE_ROWS * VALUES);

var<workgroup> q_tile: array<vec4f, DEPTH * ROW_VECTORS>;
var<workgroup> stage: array<vec4f, STAGE>;
var<workgroup> weights: array<vec4f, PAGE * ROW_VECTORS>;
var<workgroup> maxima: array<vec4f, GROUP>;

//#if HALF
fn key4(i: u32) -> vec4f { let two = k[i]; return vec4f(unpack_halves(two.x), unpack_halves(two.y)); }
fn value4(i: u32) -> vec4f { let two = v[i]; return vec4f(unpack_halves(two.x), unpack_halves(two.y)); }
//#else
fn key4(i: u32) -> vec4f { return k[i]; }
fn value4(i: u32) -> vec4f { return v[i]; }
//#endif

// Where the weights of a key lie: turned, so that lanes that store different keys use different banks.
fn weight_place(key: u32, rows: u32) -> u32 {
  return key * ROW_VECTORS + (rows ^ ((key / 4u) & (ROW_VECTORS - 1u)));
}

// Columns [d0, d0 + DEPTH) of the tile's queries and of a page's keys: half of the lanes each.
fn load_keys(first_token: u32, head: u32, page_row: u32, d0: u32, lane: u32) {
  let d = d0 + lane % 4u * 4u;
  var block = mat4x4f();
  if (lane < KEY_VECTORS * 4u) {
    let i = lane / 4u;
    if (d < HEAD) { for (var r = 0u; r < 4u; r++) { block[r] = key4((page_row + 4u * i + r) * KEY + d / 4u); } }
    block = transpose(block);
    for (var j = 0u; j < 4u; j++) { stage[place(lane % 4u * 4u + j, i, KEY_VECTORS)] = block[j]; }
  } else if (lane < KEY_VECTORS * 4u + ROW_VECTORS * 4u) {
    let i = lane / 4u - KEY_VECTORS;
    if (d < HEAD) {
      for (var r = 0u; r < 4u; r++) { block[r] = q[(min(first_token + 4u * i + r, p.tokens - 1u) * p.heads + head) * KEY + d / 4u]; }
    }
    block = transpose(block);
    for (var j = 0u; j < 4u; j++) { q_tile[place(lane % 4u * 4u + j, i, ROW_VECTORS)] = block[j]; }
  }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = (p.tokens + ROWS - 1u) / ROWS;
  let index = group_index(group, groups);
  if (index >= tiles * p.heads) { return; }
  // The last tokens see most: their tiles begin first.
  let first_token = (tiles - 1u - index / p.heads) * ROWS;
  let end_token = min(first_token + ROWS, p.tokens);
  let head = index % p.heads;
  let kv_head = head * p.kv_heads / p.heads;
  let rows = lane / TEAM;
  let member = lane % TEAM;
  var sums = array<vec4f, 4u * SPAN>();
  var largest = vec4f(LOWEST);
  var totals = vec4f();
  for (var run = first_token; run < end_token;) {
    let seen = run_from(run, end_token);
    let next = seen.end;
    if (seen.slot < 0) { run = next; continue; }
    // What each of this lane's four tokens sees: [from_position, to_position).
    var from_position = vec4u(1u);
    var to_position = vec4u(0u);
    for (var r = 0u; r < 4u; r++) {
      let token = first_token + 4u * rows + r;
      if (token >= run && token < next) {
        from_position[r] = first_visible(u32(positions[token]));
        to_position[r] = u32(positions[token]) + 1u;
      }
    }
    for (var logical = seen.low / PAGE; logical * PAGE < seen.high; logical++) {
      let page = page_of(u32(seen.slot), logical);
      if (page < 0) {
        if (!sees_page(seen, logical)) { continue; }
        if (lane == 0u) { raise(p.fault, i32(max(seen.low, logical * PAGE))); }
        return;
      }
      let page_row = (u32(page) * p.kv_heads + kv_head) * PAGE;
      var scores = mat4x4f();
      for (var d = 0u; d < HEAD; d += DEPTH) {
        workgroupBarrier();
        load_keys(first_token, head, page_row, d, lane);
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
          let queries = q_tile[place(i, rows, ROW_VECTORS)];
          let keys = stage[place(i, member, KEY_VECTORS)];
          for (var j = 0u; j < 4u; j++) { scores[j] += keys[j] * queries; }
        }
      }
      var visible = array<vec4<bool>, 4>();
      var mine = vec4f(LOWEST);
      for (var j = 0u; j < 4u; j++) {
        let position = vec4u(logical * PAGE + 4u * member + j);
        visible[j] = (position >= from_position) & (position < to_position);
        mine = max(mine, select(vec4f(LOWEST), scores[j] * p.scale, visible[j]));
      }
      maxima[lane] = mine;
      workgroupBarrier();
      var now = largest;
      for (var i = 0u; i < TEAM; i++) { now = max(now, maxima[rows * TEAM + i]); }
      let keep = exp(largest - now);
      largest = now;
      totals *= keep;
      for (var j = 0u; j < 4u; j++) {
        let weight = select(vec4f(), exp(scores[j] * p.scale - now), visible[j]);
        totals += weight;
        weights[weight_place(4u * member + j, rows)] = weight;
      }
      for (var i = 0u; i < SPAN; i++) { for (var r = 0u; r < 4u; r++) { sums[4u * i + r] *= keep[r]; } }
      for (var first = 0u; first < PAGE; first += VALUE_ROWS) {
        workgroupBarrier();
        for (var i = lane; i < VALUE_ROWS * VALUES; i += GROUP) {
          let position = logical * PAGE + first + i / VALUES;
          // Rows that none sees may hold anything, and nothing times infinity is no number.
          var four = vec4f();
          if (position >= seen.low && position < seen.high) { four = value4((page_row + first + i / VALUES) * (p.value_width / 4u) + i % VALUES); }
          stage[i] = four;
        }
        workgroupBarrier();
        for (var key = 0u; key < VALUE_ROWS; key++) {
          let weight = weights[weight_place(first + key, rows)];
          for (var i = 0u; i < SPAN; i++) {
            let four = stage[key * VALUES + min(member + i * TEAM, VALUES - 1u)];
            for (var r = 0u; r < 4u; r++) { sums[4u * i + r] += weight[r] * four; }
          }
        }
      }
    }
    run = next;
  }
  workgroupBarrier();
  maxima[lane] = totals;
  workgroupBarrier();
  var total = vec4f();
  for (var i = 0u; i < TEAM; i++) { total += maxima[rows * TEAM + i]; }
  for (var r = 0u; r < 4u; r++) {
    let token = first_token + 4u * rows + r;
    for (var i = 0u; i < SPAN; i++) {
      let column = member + i * TEAM;
      // A token of no sequence gets zeros.
      if (token < p.tokens && column < VALUES) { out[(token * p.heads + head) * VALUES + column] = select(vec4f(), sums[4u * i + r] / total[r], total[r] > 0.0); }
    }
  }
}
