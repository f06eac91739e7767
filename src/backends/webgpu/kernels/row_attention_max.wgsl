// attention_max, first part: the largest score of each head among ROWS tokens, [N, tiles]. Walks the
// rows as row_attention does.
struct Params { tokens: u32, heads: u32, kv_heads: u32, window: u32, chunk: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> q: Numbers;
@group(0) @binding(3) var<storage, read> k: Numbers;
@group(0) @binding(4) var<storage, read> positions: array<i32>;
@group(0) @binding(5) var<storage, read> starts: array<i32>;
//#include grid
//#include reduce
//#include row_visible
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
  if (OWN_KEPT) { keep_own(QUERIES, 0u, H_PIECES, first, end, n, lane); }
  var largest = LOWEST;
  for (var tile = lowest(first); tile < end; tile += COLS) {
    var scores = array<vec4f, 4>();
    for (var piece = 0u; piece < H_PIECES; piece++) {
      workgroupBarrier();
      if (!OWN_KEPT) { put_own(0u, fetch_own(QUERIES, piece, first, end, n, lane), lane); }
      put_others(fetch_others(KEYS, piece, tile, end, head, lane), lane);
      workgroupBarrier();
      add_products(&scores, piece, lane);
    }
    let rows = four_from(tile, lane);
    for (var i = 0u; i < 4u; i++) {
      if (tokens[i] >= p.tokens) { continue; }
      let seen = select(vec4f(LOWEST), scores[i] * p.scale, (rows >= vec4u(lowest(tokens[i]))) & (rows <= vec4u(tokens[i])));
      largest = max(largest, max(max(seen.x, seen.y), max(seen.z, seen.w)));
    }
  }
  largest = reduce_max(largest, lane);
  if (lane == 0u) { out[n * ((p.tokens + ROWS - 1u) / ROWS) + first / ROWS] = largest; }
}
