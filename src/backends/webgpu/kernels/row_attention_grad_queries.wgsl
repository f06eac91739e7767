// Gradient of attention over rows for the queries (see row_attention). Walks the rows twice: for each
// query's maximum, sum and mean of the weights' gradients, then for dq. What the first walk found is
// kept for row_attention_grad_keys: [T, N] of maximum, 1 / sum, mean, and the first row that t sees.
struct Params { tokens: u32, heads: u32, kv_heads: u32, value_width: u32, window: u32, chunk: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dq: array<f32>;
@group(0) @binding(2) var<storage, read_write> kept: array<vec4f>;
@group(0) @binding(3) var<storage, read> q: array<f32>;
@group(0) @binding(4) var<storage, read> k: array<f32>;
@group(0) @binding(5) var<storage, read> v: array<f32>;
@group(0) @binding(6) var<storage, read> positions: array<i32>;
@group(0) @binding(7) var<storage, read> starts: array<i32>;
@group(0) @binding(8) var<storage, read> dout: array<f32>;
//#include grid
//#include row_visible
//#include row_team
//#include row_tile
//#include row_team_grad

// A lane's share of the scores and of the weights' gradients of a block of rows.
fn multiply(query: ptr<function, array<vec4f, HM>>, slope: ptr<function, array<vec4f, VM>>, block: u32, member: u32, lane: u32) {
  for (var j = 0u; j < BLOCK; j++) {
    var score = 0.0;
    for (var i = 0u; i < HM; i++) {
      if (member + TEAM * i < H4) { score += dot((*query)[i], keys[(block + j) * H4 + member + TEAM * i]); }
    }
    products[j * GROUP + lane] = score;
    var gradient = 0.0;
    for (var i = 0u; i < VM; i++) {
      if (member + TEAM * i < V4) { gradient += dot((*slope)[i], values[(block + j) * V4 + member + TEAM * i]); }
    }
    slopes[j * GROUP + lane] = gradient;
  }
}

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
  let row_of_all = token * p.heads + n;
  var query = array<vec4f, HM>();
  var slope = array<vec4f, VM>();
  for (var i = 0u; i < HM; i++) { query[i] = q4(row_of_all * HEAD, 4u * (member + TEAM * i)); }
  for (var i = 0u; i < VM; i++) { slope[i] = dout4(row_of_all * VALUE, 4u * (member + TEAM * i)); }
  var largest = LOWEST;
  var total = 0.0;
  var mean = 0.0;
  for (var tile = lowest(first); tile < end; tile += KEYS) {
    workgroupBarrier();
    load_tile(tile, end, head, lane);
    workgroupBarrier();
    for (var block = 0u; block < min(KEYS, end - tile); block += BLOCK) {
      multiply(&query, &slope, block, member, lane);
      workgroupBarrier();
      for (var j = 0u; j < BLOCK; j++) {
        let row = tile + block + j;
        if (row >= low && row <= token) {
          let score = team_sum(j, lane) * p.scale;
          let now = max(largest, score);
          let keep = exp(largest - now);
          let weight = exp(score - now);
          total = total * keep + weight;
          mean = mean * keep + weight * team_slope(j, lane);
          largest = now;
        }
      }
      workgroupBarrier();
    }
  }
  mean /= total;
  var sum = array<vec4f, HM>();
  for (var tile = lowest(first); tile < end; tile += KEYS) {
    workgroupBarrier();
    load_tile(tile, end, head, lane);
    workgroupBarrier();
    for (var block = 0u; block < min(KEYS, end - tile); block += BLOCK) {
      multiply(&query, &slope, block, member, lane);
      workgroupBarrier();
      for (var j = 0u; j < BLOCK; j++) {
        let row = tile + block + j;
        if (row >= low && row <= token) {
          let factor = exp(team_sum(j, lane) * p.scale - largest) / total * (team_slope(j, lane) - mean) * p.scale;
          for (var i = 0u; i < HM; i++) {
            if (member + TEAM * i < H4) { sum[i] += factor * keys[(block + j) * H4 + member + TEAM * i]; }
          }
        }
      }
      workgroupBarrier();
    }
  }
  if (first + lane / TEAM >= p.tokens) { return; }
  for (var i = 0u; i < HM; i++) {
    for (var c = 0u; c < 4u; c++) {
      let column = 4u * (member + TEAM * i) + c;
      if (column < HEAD) { dq[row_of_all * HEAD + column] = sum[i][c]; }
    }
  }
  // Row numbers are whole in float32 up to 2^24.
  if (member == 0u) { kept[row_of_all] = vec4f(largest, 1.0 / total, mean, f32(low)); }
}
