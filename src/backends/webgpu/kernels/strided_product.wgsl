// Products of matrices of any layout, one per batch: out = alpha A B (+ beta D), A [m, depth] and
// B [depth, n] given by the steps between their neighbours, out and D in rows of `row` numbers. Where
// the depth is split, a workgroup adds up one stretch of it, and sum_rows adds the stretches.
// Tiles of 64 x 64, 16 deep, through workgroup memory; 256 lanes with 4 x 4 sums each.
struct Params {
  m: u32, n: u32, depth: u32, stretch: u32,
  a_row: u32, a_depth: u32, a_batch: u32, a_start: u32,
  b_column: u32, b_depth: u32, b_batch: u32, b_start: u32,
  row: u32, batch: u32, start: u32, batches: u32,
  alpha: f32, beta: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
//#if ADDS
@group(0) @binding(4) var<storage, read> d: array<f32>;
//#endif
//#include grid
//#include tile64

// The lane's four rows of A, or columns of B, at one depth. Lanes that follow each other read what
// lies side by side.
fn load_tiles(batch: u32, first_m: u32, first_n: u32, first: u32, end: u32, lane: u32) {
  let a_place = select(vec2u(lane / 16u, lane % 16u), vec2u(lane % 16u, lane / 16u), A_ACROSS);
  let a_depth = first + a_place.y;
  let a_base = p.a_start + batch * p.a_batch + a_depth * p.a_depth;
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let m = first_m + 4u * a_place.x + i;
    if (m < p.m && a_depth < end) { four[i] = a[a_base + m * p.a_row]; }
  }
  a_tile[a_place.y * 16u + a_place.x] = four;
  let b_place = select(vec2u(lane / 16u, lane % 16u), vec2u(lane % 16u, lane / 16u), B_ACROSS);
  let b_depth = first + b_place.y;
  let b_base = p.b_start + batch * p.b_batch + b_depth * p.b_depth;
  four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    let n = first_n + 4u * b_place.x + i;
    if (n < p.n && b_depth < end) { four[i] = b[b_base + n * p.b_column]; }
  }
  b_tile[b_place.y * 16u + b_place.x] = four;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n_tiles = (p.n + 63u) / 64u;
  let tiles = n_tiles * ((p.m + 63u) / 64u);
  let index = group_index(group, groups);
  let batch = index / tiles % p.batches;
  let stretch = index / tiles / p.batches;
  if (stretch * p.stretch >= p.depth) { return; }
  let first_m = index % tiles / n_tiles * 64u;
  let first_n = index % n_tiles * 64u;
  let end = min((stretch + 1u) * p.stretch, p.depth);
  var sums = array<vec4f, 4>();
  for (var first = stretch * p.stretch; first < end; first += 16u) {
    workgroupBarrier();
    load_tiles(batch, first_m, first_n, first, end, lane);
    workgroupBarrier();
    multiply_tiles(&sums, lane);
  }
  let base = p.start + (stretch * p.batches + batch) * p.batch;
  for (var i = 0u; i < 4u; i++) {
    let m = first_m + lane / 16u * 4u + i;
    for (var j = 0u; j < 4u; j++) {
      let n = first_n + lane % 16u * 4u + j;
      if (m < p.m && n < p.n) {
        let at = base + m * p.row + n;
//#if ADDS
        out[at] = p.alpha * sums[i][j] + p.beta * d[at];
//#else
        out[at] = p.alpha * sums[i][j];
//#endif
      }
    }
  }
}
