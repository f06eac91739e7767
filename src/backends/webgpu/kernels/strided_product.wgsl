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

// Where a lane's four rows of A, or columns of B, and its depth lie in a tile. Lanes that follow each
// other read what lies side by side.
fn place_in_tile(lane: u32, across: bool) -> vec2u { return select(vec2u(lane / 16u, lane % 16u), vec2u(lane % 16u, lane / 16u), across); }

// Reads that need no look at what another gave: all are on their way at once.
fn a4(batch: u32, first_m: u32, depth: u32, end: u32) -> vec4f {
  let base = p.a_start + batch * p.a_batch + min(depth, p.depth - 1u) * p.a_depth;
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { four[i] = select(0.0, a[base + min(first_m + i, p.m - 1u) * p.a_row], depth < end); }
  return four;
}

fn b4(batch: u32, first_n: u32, depth: u32, end: u32) -> vec4f {
  let base = p.b_start + batch * p.b_batch + min(depth, p.depth - 1u) * p.b_depth;
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { four[i] = select(0.0, b[base + min(first_n + i, p.n - 1u) * p.b_column], depth < end); }
  return four;
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
  let a_place = place_in_tile(lane, A_ACROSS);
  let b_place = place_in_tile(lane, B_ACROSS);
  // The next tiles are on their way while these are multiplied.
  let begin = stretch * p.stretch;
  var from_a = a4(batch, first_m + 4u * a_place.x, begin + a_place.y, end);
  var from_b = b4(batch, first_n + 4u * b_place.x, begin + b_place.y, end);
  for (var first = begin; first < end; first += 16u) {
    workgroupBarrier();
    a_tile[a_place.y * 16u + a_place.x] = from_a;
    b_tile[b_place.y * 16u + b_place.x] = from_b;
    workgroupBarrier();
    from_a = a4(batch, first_m + 4u * a_place.x, first + 16u + a_place.y, end);
    from_b = b4(batch, first_n + 4u * b_place.x, first + 16u + b_place.y, end);
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
