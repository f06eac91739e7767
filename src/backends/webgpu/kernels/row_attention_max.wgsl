// attention_max, first part: the largest score of each head among QUERIES tokens, [N, tiles]. Walks the
// rows as row_attention does.
struct Params { tokens: u32, heads: u32, kv_heads: u32, window: u32, chunk: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> q: array<f32>;
@group(0) @binding(3) var<storage, read> k: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<i32>;
@group(0) @binding(5) var<storage, read> starts: array<i32>;
//#include grid
//#include reduce
//#include row_visible
//#include row_team

var<workgroup> keys: array<vec4f, KEYS * H4>;
var<workgroup> products: array<f32, BLOCK * GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let n = item % p.heads;
  let first = item / p.heads * QUERIES;
  if (first >= p.tokens) { return; }
  let head = n * p.kv_heads / p.heads;
  let end = min(first + QUERIES, p.tokens);
  let token = min(first + lane / TEAM, p.tokens - 1u);
  let member = lane % TEAM;
  let low = lowest(token);
  var query = array<vec4f, HM>();
  for (var i = 0u; i < HM; i++) { query[i] = q4((token * p.heads + n) * HEAD, 4u * (member + TEAM * i)); }
  var largest = LOWEST;
  for (var tile = lowest(first); tile < end; tile += KEYS) {
    workgroupBarrier();
    for (var i = lane; i < KEYS * H4; i += GROUP) {
      let row = tile + i / H4;
      keys[i] = vec4f();
      if (row < end) { keys[i] = k4((row * p.kv_heads + head) * HEAD, 4u * (i % H4)); }
    }
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
      for (var j = 0u; j < BLOCK; j++) {
        let row = tile + block + j;
        if (row >= low && row <= token) { largest = max(largest, team_sum(j, lane) * p.scale); }
      }
      workgroupBarrier();
    }
  }
  largest = reduce_max(largest, lane);
  if (lane == 0u) { out[n * ((p.tokens + QUERIES - 1u) / QUERIES) + first / QUERIES] = largest; }
}
