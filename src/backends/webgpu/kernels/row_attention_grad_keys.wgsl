// Gradient of attention over rows for keys and values (see row_attention), from what is `known` of each
// token. A workgroup takes ROWS rows of one key head and walks the tokens that see one of them for one
// query head: dk [T, N, HEAD] and dv [T, N, value_width] are by query head, summed afterwards.
struct Params { tokens: u32, heads: u32, kv_heads: u32, value_width: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dk: array<f32>;
@group(0) @binding(2) var<storage, read_write> dv: array<f32>;
@group(0) @binding(3) var<storage, read> q: Numbers;
@group(0) @binding(4) var<storage, read> k: Numbers;
@group(0) @binding(5) var<storage, read> v: Numbers;
@group(0) @binding(6) var<storage, read> dout: Numbers;
@group(0) @binding(7) var<storage, read> known: array<vec4f>;
//#include grid
//#include row_tiles

var<workgroup> about: array<vec4f, COLS>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let n = item % p.heads;
  let first = item / p.heads * ROWS;
  if (first >= p.tokens) { return; }
  let head = n * p.kv_heads / p.heads;
  let end = min(first + ROWS, p.tokens);
  let rows = vec4u(first + lane / ACROSS) + DOWN * vec4u(0u, 1u, 2u, 3u);
  var key_sums = array<vec4f, 4u * H_PIECES>();
  var value_sums = array<vec4f, 4u * V_PIECES>();
  if (OWN_KEPT) {
    keep_own(KEYS, 0u, H_PIECES, first, end, head, lane);
    keep_own(VALUES, H_PIECES, V_PIECES, first, end, head, lane);
  }
  var next = fetch_others(QUERIES, 0u, first, p.tokens, n, lane);
  for (var tile = first; tile < p.tokens; tile += COLS) {
    // Later tokens see no earlier rows than this one.
    if (u32(known[tile * p.heads + n].z) >= end) { break; }
    var scores = array<vec4f, 4>();
    for (var piece = 0u; piece < H_PIECES; piece++) {
      workgroupBarrier();
      if (!OWN_KEPT) { put_own(0u, fetch_own(KEYS, piece, first, end, head, lane), lane); }
      put_others(next, lane);
      for (var i = lane; i < COLS; i += GROUP) {
        // A token that is not there sees nothing.
        about[i] = select(vec4f(0.0, 0.0, f32(p.tokens), 0.0), known[min(tile + i, p.tokens - 1u) * p.heads + n], tile + i < p.tokens);
      }
      workgroupBarrier();
      if (piece + 1u < H_PIECES) { next = fetch_others(QUERIES, piece + 1u, tile, p.tokens, n, lane); } else { next = fetch_others(SLOPES, 0u, tile, p.tokens, n, lane); }
      add_products(&scores, piece, lane);
    }
    var slopes = array<vec4f, 4>();
    for (var piece = 0u; piece < V_PIECES; piece++) {
      workgroupBarrier();
      if (!OWN_KEPT) { put_own(0u, fetch_own(VALUES, piece, first, end, head, lane), lane); }
      put_others(next, lane);
      workgroupBarrier();
      if (V_PIECES > 1u) { next = fetch_others(SLOPES, (piece + 1u) % V_PIECES, tile, p.tokens, n, lane); }
      add_products(&slopes, H_PIECES + piece, lane);
    }
    let tokens = four_from(tile, lane);
    var logs = vec4f();
    var means = vec4f();
    var lows = vec4u();
    for (var j = 0u; j < 4u; j++) {
      let one = about[4u * (lane % ACROSS) + j];
      logs[j] = one.x;
      means[j] = one.y;
      lows[j] = u32(one.z);
    }
    for (var i = 0u; i < 4u; i++) {
      let seen = (vec4u(rows[i]) >= lows) & (vec4u(rows[i]) <= tokens);
      scores[i] = select(vec4f(), exp(scores[i] * p.scale - logs), seen);
      slopes[i] = scores[i] * (slopes[i] - means) * p.scale;
    }
    set_weights(scores, lane);
    for (var piece = 0u; piece < V_PIECES; piece++) {
      // The only piece of slopes is still there.
      if (V_PIECES > 1u) {
        workgroupBarrier();
        put_others(next, lane);
      }
      workgroupBarrier();
      if (piece + 1u < V_PIECES) { next = fetch_others(SLOPES, piece + 1u, tile, p.tokens, n, lane); } else { next = fetch_others(QUERIES, 0u, tile, p.tokens, n, lane); }
      let added = weighted_sums(lane);
      for (var i = 0u; i < 4u; i++) { value_sums[4u * piece + i] += added[i]; }
    }
    for (var piece = 0u; piece < H_PIECES; piece++) {
      workgroupBarrier();
      if (piece == 0u) { set_weights(slopes, lane); }
      put_others(next, lane);
      workgroupBarrier();
      if (piece + 1u < H_PIECES) { next = fetch_others(QUERIES, piece + 1u, tile, p.tokens, n, lane); } else { next = fetch_others(QUERIES, 0u, tile + COLS, p.tokens, n, lane); }
      let added = weighted_sums(lane);
      for (var i = 0u; i < 4u; i++) { key_sums[4u * piece + i] += added[i]; }
    }
  }
  for (var i = 0u; i < 4u; i++) {
    if (rows[i] >= p.tokens) { continue; }
    let row = rows[i] * p.heads + n;
    for (var c = 0u; c < 4u; c++) {
      for (var piece = 0u; piece < H_PIECES; piece++) {
        let column = 4u * (piece * ACROSS + lane % ACROSS) + c;
        if (column < HEAD) { dk[row * HEAD + column] = key_sums[4u * piece + i][c]; }
      }
      for (var piece = 0u; piece < V_PIECES; piece++) {
        let column = 4u * (piece * ACROSS + lane % ACROSS) + c;
        if (column < VALUE) { dv[row * p.value_width + column] = value_sums[4u * piece + i][c]; }
      }
    }
    for (var column = VALUE + lane % ACROSS; column < p.value_width; column += ACROSS) { dv[row * p.value_width + column] = 0.0; }
  }
}
