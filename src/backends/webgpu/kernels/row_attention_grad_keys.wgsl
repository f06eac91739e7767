// Gradient of attention over rows for keys and values (see row_attention), from what
// row_attention_grad_queries kept. A workgroup takes QUERIES rows of one key head and walks all tokens
// that see one of them, KEYS at a time, for every query head of the group: so each number of the
// result is added up by one lane.
struct Params { tokens: u32, heads: u32, kv_heads: u32, value_width: u32, scale: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dk: array<f32>;
@group(0) @binding(2) var<storage, read_write> dv: array<f32>;
@group(0) @binding(3) var<storage, read> q: array<f32>;
@group(0) @binding(4) var<storage, read> k: array<f32>;
@group(0) @binding(5) var<storage, read> v: array<f32>;
@group(0) @binding(6) var<storage, read> dout: array<f32>;
@group(0) @binding(7) var<storage, read> kept: array<vec4f>;
//#include grid
//#include row_team
//#include row_team_grad

var<workgroup> queries: array<vec4f, KEYS * H4>;
var<workgroup> gradients: array<vec4f, KEYS * V4>;
var<workgroup> known: array<vec4f, KEYS>;

fn load_tile(first: u32, n: u32, lane: u32) {
  for (var i = lane; i < KEYS * H4; i += GROUP) {
    let token = first + i / H4;
    queries[i] = vec4f();
    if (token < p.tokens) { queries[i] = q4((token * p.heads + n) * HEAD, 4u * (i % H4)); }
  }
  for (var i = lane; i < KEYS * V4; i += GROUP) {
    let token = first + i / V4;
    gradients[i] = vec4f();
    if (token < p.tokens) { gradients[i] = dout4((token * p.heads + n) * VALUE, 4u * (i % V4)); }
  }
  for (var i = lane; i < KEYS; i += GROUP) {
    // A token that is not there sees nothing.
    known[i] = vec4f(0.0, 0.0, 0.0, f32(p.tokens));
    if (first + i < p.tokens) { known[i] = kept[(first + i) * p.heads + n]; }
  }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  let head = item % p.kv_heads;
  let first = item / p.kv_heads * QUERIES;
  if (first >= p.tokens) { return; }
  let row = min(first + lane / TEAM, p.tokens - 1u);
  let member = lane % TEAM;
  let at = row * p.kv_heads + head;
  var key = array<vec4f, HM>();
  var value = array<vec4f, VM>();
  for (var i = 0u; i < HM; i++) { key[i] = k4(at * HEAD, 4u * (member + TEAM * i)); }
  for (var i = 0u; i < VM; i++) { value[i] = v4(at * p.value_width, 4u * (member + TEAM * i)); }
  var key_sum = array<vec4f, HM>();
  var value_sum = array<vec4f, VM>();
  let share = p.heads / p.kv_heads;
  for (var n = head * share; n < (head + 1u) * share; n++) {
    for (var tile = first; tile < p.tokens; tile += KEYS) {
      // Later tokens see no earlier rows than this one.
      if (u32(kept[tile * p.heads].w) >= first + QUERIES) { break; }
      workgroupBarrier();
      load_tile(tile, n, lane);
      workgroupBarrier();
      for (var block = 0u; block < KEYS; block += BLOCK) {
        for (var j = 0u; j < BLOCK; j++) {
          var score = 0.0;
          for (var i = 0u; i < HM; i++) {
            if (member + TEAM * i < H4) { score += dot(key[i], queries[(block + j) * H4 + member + TEAM * i]); }
          }
          products[j * GROUP + lane] = score;
          var slope = 0.0;
          for (var i = 0u; i < VM; i++) {
            if (member + TEAM * i < V4) { slope += dot(value[i], gradients[(block + j) * V4 + member + TEAM * i]); }
          }
          slopes[j * GROUP + lane] = slope;
        }
        workgroupBarrier();
        for (var j = 0u; j < BLOCK; j++) {
          let about = known[block + j];
          if (row >= u32(about.w) && row <= tile + block + j) {
            let weight = exp(team_sum(j, lane) * p.scale - about.x) * about.y;
            let factor = weight * (team_slope(j, lane) - about.z) * p.scale;
            for (var i = 0u; i < HM; i++) {
              if (member + TEAM * i < H4) { key_sum[i] += factor * queries[(block + j) * H4 + member + TEAM * i]; }
            }
            for (var i = 0u; i < VM; i++) {
              if (member + TEAM * i < V4) { value_sum[i] += weight * gradients[(block + j) * V4 + member + TEAM * i]; }
            }
          }
        }
        workgroupBarrier();
      }
    }
  }
  if (first + lane / TEAM >= p.tokens) { return; }
  for (var i = 0u; i < HM; i++) {
    for (var c = 0u; c < 4u; c++) {
      let column = 4u * (member + TEAM * i) + c;
      if (column < HEAD) { dk[at * HEAD + column] = key_sum[i][c]; }
    }
  }
  for (var i = 0u; i < VM; i++) {
    for (var c = 0u; c < 4u; c++) {
      let column = 4u * (member + TEAM * i) + c;
      if (column < VALUE) { dv[at * p.value_width + column] = value_sum[i][c]; }
    }
  }
  for (var column = VALUE + member; column < p.value_width; column += TEAM) { dv[at * p.value_width + column] = 0.0; }
}
