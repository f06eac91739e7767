// Rows of x through the float32 matrices of their choices' experts, many choices at a time: y [choices,
// n] = x W, W given by the steps between its neighbours, so that it serves expert_linear and its
// gradient. A workgroup takes CHUNK choices, finds those of its expert, and multiplies 64 of them with
// 64 columns at a time. `share`: how many choices in a row read one row of x.
struct Params {
  choices: u32, experts: u32, n: u32, depth: u32,
  share: u32, w_expert: u32, w_column: u32, w_depth: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> w: array<f32>;
@group(0) @binding(4) var<storage, read> indices: array<i32>;
//#include grid
//#include matching
//#include tile64

fn load_tiles(expert: u32, first_row: u32, count: u32, first_n: u32, first: u32, lane: u32) {
  let row = lane / 16u;
  let depth = first + lane % 16u;
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let r = first_row + 4u * row + i;
    if (r < count && depth < p.depth) { four[i] = x[matches[r] / p.share * p.depth + depth]; }
  }
  a_tile[lane % 16u * 16u + row] = four;
  let place = select(vec2u(lane / 16u, lane % 16u), vec2u(lane % 16u, lane / 16u), W_ACROSS);
  let base = expert * p.w_expert + (first + place.y) * p.w_depth;
  four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let n = first_n + 4u * place.x + i;
    if (n < p.n && first + place.y < p.depth) { four[i] = w[base + n * p.w_column]; }
  }
  b_tile[place.y * 16u + place.x] = four;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n_tiles = (p.n + 63u) / 64u;
  let index = group_index(group, groups);
  let first_n = index % n_tiles * 64u;
  let expert = index / n_tiles % p.experts;
  let chunk = index / n_tiles / p.experts * CHUNK;
  if (chunk >= p.choices) { return; }
  let count = find_matches(chunk, min(chunk + CHUNK, p.choices), i32(expert), lane);
  for (var first_row = 0u; first_row < count; first_row += 64u) {
    var sums = array<vec4f, 4>();
    for (var first = 0u; first < p.depth; first += 16u) {
      workgroupBarrier();
      load_tiles(expert, first_row, count, first_n, first, lane);
      workgroupBarrier();
      multiply_tiles(&sums, lane);
    }
    for (var i = 0u; i < 4u; i++) {
      let r = first_row + lane / 16u * 4u + i;
      for (var j = 0u; j < 4u; j++) {
        let n = first_n + lane % 16u * 4u + j;
        if (r < count && n < p.n) { y[matches[r] * p.n + n] = sums[i][j]; }
      }
    }
  }
}
