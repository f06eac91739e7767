// attention over the step's own rows: softmax attention of q [T, N, HEAD] over keys [T, K, HEAD] and
// values [T, K, value_width], of which the first VALUE columns count. Sequences lie end to end, so
// token t sees the rows from `lowest(t)` to t. A workgroup takes QUERIES tokens of one head and walks
// the rows they see KEYS at a time through workgroup memory with a running maximum (online softmax,
// Milakov and Gimelshein 2018); TEAM lanes share a query, each with every TEAM-th vector of a row.
struct Params { tokens: u32, heads: u32, kv_heads: u32, value_width: u32, window: u32, chunk: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> v: array<f32>;
@group(0) @binding(5) var<storage, read> positions: array<i32>;
@group(0) @binding(6) var<storage, read> starts: array<i32>;
//#include grid
//#include row_visible
//#include row_team
//#include row_tile

var<workgroup> products: array<f32, BLOCK * GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let n = item % p.heads;
  let first = item / p.heads * QUERIES;
  if (first >= p.tokens) { return; }
  let head = n * p.kv_heads / p.heads;
  let end = min(first + QUERIES, p.tokens);
  // Lanes beyond the last token repeat it, and write nothing.
  let token = min(first + lane / TEAM, p.tokens - 1u);
  let member = lane % TEAM;
  let low = lowest(token);
  var query = array<vec4f, HM>();
  for (var i = 0u; i < HM; i++) { query[i] = q4((token * p.heads + n) * HEAD, 4u * (member + TEAM * i)); }
  var sum = array<vec4f, VM>();
  var largest = LOWEST;
  var total = 0.0;
  for (var tile = lowest(first); tile < end; tile += KEYS) {
    workgroupBarrier();
    load_tile(tile, end, head, lane);
    workgroupBarrier();
    for (var block = 0u; block < min(KEYS, end - tile); block += BLOCK) {
      for (var j = 0u; j < BLOCK; j++) {
        var part = 0.0;
        for (var i = 0u; i < HM; i++) {
          if (member + TEAM * i < H4) { part += dot(query[i], keys[(block + j) * H4 + member + TEAM * i]); }
        }
        products[j * GROUP + lane] = part;
      }
      workgroupBarrier();
      var weights = array<f32, BLOCK>();
      var now = largest;
      for (var j = 0u; j < BLOCK; j++) {
        let row = tile + block + j;
        weights[j] = LOWEST;
        if (row >= low && row <= token) {
          weights[j] = team_sum(j, lane) * p.scale;
          now = max(now, weights[j]);
        }
      }
      let keep = exp(largest - now);
      largest = now;
      total *= keep;
      for (var i = 0u; i < VM; i++) { sum[i] *= keep; }
      for (var j = 0u; j < BLOCK; j++) {
        // A weight that is not seen is LOWEST, also where nothing has been seen yet.
        let weight = select(exp(weights[j] - now), 0.0, weights[j] == LOWEST);
        total += weight;
        for (var i = 0u; i < VM; i++) {
          if (member + TEAM * i < V4) { sum[i] += weight * values[(block + j) * V4 + member + TEAM * i]; }
        }
      }
      workgroupBarrier();
    }
  }
  if (first + lane / TEAM >= p.tokens) { return; }
  for (var i = 0u; i < VM; i++) {
    for (var c = 0u; c < 4u; c++) {
      let column = 4u * (member + TEAM * i) + c;
      if (column < VALUE) { out[(token * p.heads + n) * VALUE + column] = sum[i][c] / total; }
    }
  }
}
