// The gradient of experts' matrices [E, m, n], a stretch of CHUNK choices at a time: [chunks, E, m, n],
// the sum over an expert's choices of dy [choices, m] times x [choices, n] (one row for `share` choices
// in a row). A workgroup finds the choices of its expert in its stretch and adds them up in tiles of
// 64 x 64; sum_rows adds the stretches.
struct Params { choices: u32, experts: u32, m: u32, n: u32, share: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dw: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> indices: array<i32>;
//#include grid
//#include matching
//#include tile64

// Lane l: numbers 4 (l % 16) ... of both rows of choice l / 16.
fn load_tiles(first: u32, count: u32, first_m: u32, first_n: u32, lane: u32) {
  var left = vec4f();
  var right = vec4f();
  if (first + lane / 16u < count) {
    let choice = matches[first + lane / 16u];
    for (var i = 0u; i < 4u; i++) {
      let m = first_m + lane % 16u * 4u + i;
      let n = first_n + lane % 16u * 4u + i;
      if (m < p.m) { left[i] = dy[choice * p.m + m]; }
      if (n < p.n) { right[i] = x[choice / p.share * p.n + n]; }
    }
  }
  a_tile[lane] = left;
  b_tile[lane] = right;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n_tiles = (p.n + 63u) / 64u;
  let tiles = n_tiles * ((p.m + 63u) / 64u);
  let index = group_index(group, groups);
  let first_m = index % tiles / n_tiles * 64u;
  let first_n = index % n_tiles * 64u;
  let expert = index / tiles % p.experts;
  let chunk = index / tiles / p.experts;
  if (chunk * CHUNK >= p.choices) { return; }
  let count = find_matches(chunk * CHUNK, min((chunk + 1u) * CHUNK, p.choices), i32(expert), lane);
  var sums = array<vec4f, 4>();
  for (var first = 0u; first < count; first += 16u) {
    workgroupBarrier();
    load_tiles(first, count, first_m, first_n, lane);
    workgroupBarrier();
    multiply_tiles(&sums, lane);
  }
  let base = (chunk * p.experts + expert) * p.m * p.n;
  for (var i = 0u; i < 4u; i++) {
    let m = first_m + lane / 16u * 4u + i;
    for (var j = 0u; j < 4u; j++) {
      let n = first_n + lane % 16u * 4u + j;
      if (m < p.m && n < p.n) { dw[base + m * p.n + n] = sums[i][j]; }
    }
  }
}
