// attention over the step's own rows: softmax attention of q [T, N, HEAD] over keys [T, K, HEAD] and
// values [T, K, value_width], of which the first VALUE columns count. Sequences lie end to end, so
// token t sees the rows from `lowest(t)` to t. A workgroup takes ROWS tokens of one head and walks the
// rows they see COLS at a time with a running maximum (online softmax, Milakov and Gimelshein 2018, in
// the tiles of FlashAttention, arXiv:2205.14135). `lse` [T, N]: log of the sum of e^score.
struct Params { tokens: u32, heads: u32, kv_heads: u32, value_width: u32, window: u32, chunk: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read_write> lse: array<f32>;
@group(0) @binding(3) var<storage, read> q: Numbers;
@group(0) @binding(4) var<storage, read> k: Numbers;
@group(0) @binding(5) var<storage, read> v: Numbers;
@group(0) @binding(6) var<storage, read> positions: array<i32>;
@group(0) @binding(7) var<storage, read> starts: array<i32>;
//#include grid
//#include row_visible
//#include row_tiles

// Of each lane, a number for each of its own rows.
var<workgroup> parts: array<vec4f, GROUP>;

fn row_max(mine: vec4f, lane: u32) -> vec4f {
  parts[lane] = mine;
  workgroupBarrier();
  var largest = mine;
  for (var i = 0u; i < ACROSS; i++) { largest = max(largest, parts[lane / ACROSS * ACROSS + i]); }
  return largest;
}

fn row_sum(mine: vec4f, lane: u32) -> vec4f {
  parts[lane] = mine;
  workgroupBarrier();
  var sum = vec4f();
  for (var i = 0u; i < ACROSS; i++) { sum += parts[lane / ACROSS * ACROSS + i]; }
  return sum;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let n = item % p.heads;
  let first = item / p.heads * ROWS;
  if (first >= p.tokens) { return; }
  let head = n * p.kv_heads / p.heads;
  let end = min(first + ROWS, p.tokens);
  let tokens = vec4u(first + lane / ACROSS) + DOWN * vec4u(0u, 1u, 2u, 3u);
  var low = vec4u();
  for (var i = 0u; i < 4u; i++) { low[i] = lowest(min(tokens[i], p.tokens - 1u)); }
  var sums = array<vec4f, 4u * V_PIECES>();
  var largest = vec4f(LOWEST);
  var total = vec4f();
  if (OWN_KEPT) { keep_own(QUERIES, 0u, H_PIECES, first, end, n, lane); }
  let begin = lowest(first);
  var next = fetch_others(KEYS, 0u, begin, end, head, lane);
  for (var tile = begin; tile < end; tile += COLS) {
    var scores = array<vec4f, 4>();
    for (var piece = 0u; piece < H_PIECES; piece++) {
      workgroupBarrier();
      if (!OWN_KEPT) { put_own(0u, fetch_own(QUERIES, piece, first, end, n, lane), lane); }
      put_others(next, lane);
      workgroupBarrier();
      if (piece + 1u < H_PIECES) { next = fetch_others(KEYS, piece + 1u, tile, end, head, lane); } else { next = fetch_others(VALUES, 0u, tile, end, head, lane); }
      add_products(&scores, piece, lane);
    }
    let rows = four_from(tile, lane);
    var mine = vec4f();
    for (var i = 0u; i < 4u; i++) {
      scores[i] = select(vec4f(LOWEST), scores[i] * p.scale, (rows >= vec4u(low[i])) & (rows <= vec4u(tokens[i])));
      mine[i] = max(max(scores[i].x, scores[i].y), max(scores[i].z, scores[i].w));
    }
    let now = max(largest, row_max(mine, lane));
    let keep = exp(largest - now);
    largest = now;
    for (var i = 0u; i < 4u; i++) {
      // A score that is not seen is LOWEST, also where nothing has been seen yet.
      scores[i] = select(exp(scores[i] - now[i]), vec4f(), scores[i] == vec4f(LOWEST));
      total[i] = total[i] * keep[i] + scores[i].x + scores[i].y + scores[i].z + scores[i].w;
    }
    set_weights(scores, lane);
    for (var piece = 0u; piece < V_PIECES; piece++) {
      // Finding the maximum was a barrier already.
      if (piece > 0u) { workgroupBarrier(); }
      put_others(next, lane);
      workgroupBarrier();
      if (piece + 1u < V_PIECES) { next = fetch_others(VALUES, piece + 1u, tile, end, head, lane); } else { next = fetch_others(KEYS, 0u, tile + COLS, end, head, lane); }
      let added = weighted_sums(lane);
      for (var i = 0u; i < 4u; i++) { sums[4u * piece + i] = sums[4u * piece + i] * keep[i] + added[i]; }
    }
  }
  total = row_sum(total, lane);
  for (var i = 0u; i < 4u; i++) {
    if (tokens[i] >= p.tokens) { continue; }
    let row = tokens[i] * p.heads + n;
    for (var piece = 0u; piece < V_PIECES; piece++) {
      for (var c = 0u; c < 4u; c++) {
        let column = 4u * (piece * ACROSS + lane % ACROSS) + c;
        if (column < VALUE) { out[row * VALUE + column] = sums[4u * piece + i][c] / total[i]; }
      }
    }
    if (lane % ACROSS == 0u) { lse[row] = largest[i] + log(total[i]); }
  }
}
