// Gradient of attention over rows for the queries (see row_attention), with the weights computed again
// from what is `known` of each token (row_attention_known). Walks the rows as row_attention does.
struct Params { tokens: u32, heads: u32, kv_heads: u32, value_width: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dq: array<f32>;
@group(0) @binding(2) var<storage, read> q: Numbers;
@group(0) @binding(3) var<storage, read> k: Numbers;
@group(0) @binding(4) var<storage, read> v: Numbers;
@group(0) @binding(5) var<storage, read> dout: Numbers;
@group(0) @binding(6) var<storage, read> known: array<vec4f>;
//#include grid
//#include row_tiles

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let n = item % p.heads;
  let first = item / p.heads * ROWS;
  if (first >= p.tokens) { return; }
  let head = n * p.kv_heads / p.heads;
  let end = min(first + ROWS, p.tokens);
  let tokens = vec4u(first + lane / ACROSS) + DOWN * vec4u(0u, 1u, 2u, 3u);
  var about = array<vec4f, 4>();
  for (var i = 0u; i < 4u; i++) { about[i] = known[min(tokens[i], p.tokens - 1u) * p.heads + n]; }
  var sums = array<vec4f, 4u * H_PIECES>();
  if (OWN_KEPT) {
    keep_own(QUERIES, 0u, H_PIECES, first, end, n, lane);
    keep_own(SLOPES, H_PIECES, V_PIECES, first, end, n, lane);
  }
  let begin = u32(known[first * p.heads + n].z);
  var next = fetch_others(VALUES, 0u, begin, end, head, lane);
  for (var tile = begin; tile < end; tile += COLS) {
    var slopes = array<vec4f, 4>();
    for (var piece = 0u; piece < V_PIECES; piece++) {
      workgroupBarrier();
      if (!OWN_KEPT) { put_own(0u, fetch_own(SLOPES, piece, first, end, n, lane), lane); }
      put_others(next, lane);
      workgroupBarrier();
      if (piece + 1u < V_PIECES) { next = fetch_others(VALUES, piece + 1u, tile, end, head, lane); } else { next = fetch_others(KEYS, 0u, tile, end, head, lane); }
      add_products(&slopes, H_PIECES + piece, lane);
    }
    var scores = array<vec4f, 4>();
    for (var piece = 0u; piece < H_PIECES; piece++) {
      workgroupBarrier();
      if (!OWN_KEPT) { put_own(0u, fetch_own(QUERIES, piece, first, end, n, lane), lane); }
      put_others(next, lane);
      workgroupBarrier();
      if (H_PIECES > 1u) { next = fetch_others(KEYS, (piece + 1u) % H_PIECES, tile, end, head, lane); }
      add_products(&scores, piece, lane);
    }
    let rows = four_from(tile, lane);
    for (var i = 0u; i < 4u; i++) {
      let factor = exp(scores[i] * p.scale - about[i].x) * (slopes[i] - about[i].y) * p.scale;
      scores[i] = select(vec4f(), factor, (rows >= vec4u(u32(about[i].z))) & (rows <= vec4u(tokens[i])));
    }
    set_weights(scores, lane);
    for (var piece = 0u; piece < H_PIECES; piece++) {
      // The keys' only piece is still there.
      if (H_PIECES > 1u) {
        workgroupBarrier();
        put_others(next, lane);
      }
      workgroupBarrier();
      if (piece + 1u < H_PIECES) { next = fetch_others(KEYS, piece + 1u, tile, end, head, lane); } else { next = fetch_others(VALUES, 0u, tile + COLS, end, head, lane); }
      let added = weighted_sums(lane);
      for (var i = 0u; i < 4u; i++) { sums[4u * piece + i] += added[i]; }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    if (tokens[i] >= p.tokens) { continue; }
    let row = tokens[i] * p.heads + n;
    for (var piece = 0u; piece < H_PIECES; piece++) {
      for (var c = 0u; c < 4u; c++) {
        let column = 4u * (piece * ACROSS + lane % ACROSS) + c;
        if (column < HEAD) { dq[row * HEAD + column] = sums[4u * piece + i][c]; }
      }
    }
  }
}
