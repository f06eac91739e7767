// C [m, n] = A B^T (+ bias [n]) on the GPU's matrix units: f16 numbers, float32 sums. A comes from
// halve_rows as [m, padded k] f16 and a scale per row; B [n, k] is a matrix in any storage format,
// rounded to f16. A workgroup computes a tile of TILE_M x TILE_N, DEPTH steps of k at a time through
// workgroup memory, a subgroup SIDE_M x SIDE_N of it in units of UNIT_M x UNIT_N. Workgroups of the
// same tile may divide k among them; each then writes a C of its own, one after another. With EXPERTS,
// each row of A (`share` choices have one in common) meets the matrix of the expert that was chosen.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
struct Params { weight: Weight, m: u32, n: u32, k: u32, steps: u32, a_width: u32, share: u32 }
@group(0) @binding(0) var<uniform> p: Params;
//#if C_ALIGNED
@group(0) @binding(1) var<storage, read_write> c: array<vec4f>;
//#else
@group(0) @binding(1) var<storage, read_write> c: array<f32>;
//#endif
@group(0) @binding(2) var<storage, read> a: array<vec4u>;
@group(0) @binding(4) var<storage, read> scales: array<f32>;
//#if BIAS
@group(0) @binding(5) var<storage, read> bias: array<f32>;
//#endif
//#if EXPERTS
@group(0) @binding(5) var<storage, read> order: array<i32>;
@group(0) @binding(6) var<storage, read> expert_tiles: array<i32>;
//#endif
//#include grid
//#include tiles
//#include weight
//#include product_store

const ACROSS: u32 = TILE_N / SIDE_N;
const UNITS_M: u32 = SIDE_M / UNIT_M;
const UNITS_N: u32 = SIDE_N / UNIT_N;
const UNIT: u32 = UNIT_M * UNIT_N;
// Eight f16 at a time, and one such group between rows: their banks then differ.
const EIGHTHS: u32 = DEPTH / 8u;
const STRIDE: u32 = EIGHTHS + 1u;
const A_LOADS: u32 = TILE_M * EIGHTHS / GROUP;
const B_LOADS: u32 = TILE_N * EIGHTHS / GROUP;

//#if VECTORS
alias Cell = vec4u;
const CELLS: u32 = 1u;
//#else
alias Cell = f16;
const CELLS: u32 = 8u;
//#endif
var<workgroup> a_tile: array<Cell, TILE_M * STRIDE * CELLS>;
var<workgroup> b_tile: array<Cell, TILE_N * STRIDE * CELLS>;
var<workgroup> results: array<f32, (TILE_M / SIDE_M) * ACROSS * UNIT>;

// Eight numbers of B, zero beyond its ends.
fn b_eight(tile: Tile, n: u32, column: u32) -> vec4u {
  let row = tile.base + min(n, p.n - 1u);
//#if HALVES
  if (column >= p.weight.columns) { return vec4u(); }
  return w[(row * p.weight.columns + column) / 8u];
//#else
  if (column >= p.weight.columns) { return vec4u(); }
  let eight = weight8(row, column);
  return vec4u(bitcast<vec2u>(vec4<f16>(eight[0])), bitcast<vec2u>(vec4<f16>(eight[1])));
//#endif
}

// Rows beyond the last repeat it: their results are dropped.
fn a_eight(tile: Tile, m: u32, column: u32) -> vec4u {
  return a[(source_of(min(m, tile.end - 1u)) * p.a_width + column) / 8u];
}

fn put_a(at: u32, eight: vec4u) {
//#if VECTORS
  a_tile[at] = eight;
//#else
  let low = bitcast<vec4<f16>>(eight.xy);
  let high = bitcast<vec4<f16>>(eight.zw);
  for (var i = 0u; i < 4u; i++) {
    a_tile[8u * at + i] = low[i];
    a_tile[8u * at + 4u + i] = high[i];
  }
//#endif
}

fn put_b(at: u32, eight: vec4u) {
//#if VECTORS
  b_tile[at] = eight;
//#else
  let low = bitcast<vec4<f16>>(eight.xy);
  let high = bitcast<vec4<f16>>(eight.zw);
  for (var i = 0u; i < 4u; i++) {
    b_tile[8u * at + i] = low[i];
    b_tile[8u * at + 4u + i] = high[i];
  }
//#endif
}

fn store_scaled(tile: Tile, m: u32, n: u32, sums: vec4f) {
  if (m < tile.end) { store(tile, m, n, sums * scales[source_of(m)]); }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group_index(group, groups), p.m, p.n);
  let k_begin = tile.part * p.steps;
  if (tile.m >= tile.end || k_begin >= p.k) { return; }
  let k_end = min(k_begin + p.steps, p.k);
  let subgroup = lane / SUBGROUP;
  let my_m = subgroup / ACROSS * SIDE_M;
  let my_n = subgroup % ACROSS * SIDE_N;
  var sums = array<subgroup_matrix_result<f32, UNIT_N, UNIT_M>, UNITS_M * UNITS_N>();
  // The next step is read while this one is computed.
  var next_a = array<vec4u, A_LOADS>();
  var next_b = array<vec4u, B_LOADS>();
  for (var i = 0u; i < A_LOADS; i++) { next_a[i] = a_eight(tile, tile.m + (lane + i * GROUP) / EIGHTHS, k_begin + 8u * ((lane + i * GROUP) % EIGHTHS)); }
  for (var i = 0u; i < B_LOADS; i++) { next_b[i] = b_eight(tile, tile.n + (lane + i * GROUP) / EIGHTHS, k_begin + 8u * ((lane + i * GROUP) % EIGHTHS)); }
  for (var k0 = k_begin; k0 < k_end; k0 += DEPTH) {
    workgroupBarrier();
    for (var i = 0u; i < A_LOADS; i++) { put_a((lane + i * GROUP) / EIGHTHS * STRIDE + (lane + i * GROUP) % EIGHTHS, next_a[i]); }
    for (var i = 0u; i < B_LOADS; i++) { put_b((lane + i * GROUP) / EIGHTHS * STRIDE + (lane + i * GROUP) % EIGHTHS, next_b[i]); }
    workgroupBarrier();
    let k1 = k0 + DEPTH;
    if (k1 < k_end) {
      for (var i = 0u; i < A_LOADS; i++) { next_a[i] = a_eight(tile, tile.m + (lane + i * GROUP) / EIGHTHS, k1 + 8u * ((lane + i * GROUP) % EIGHTHS)); }
      for (var i = 0u; i < B_LOADS; i++) { next_b[i] = b_eight(tile, tile.n + (lane + i * GROUP) / EIGHTHS, k1 + 8u * ((lane + i * GROUP) % EIGHTHS)); }
    }
    for (var k = 0u; k < DEPTH; k += UNIT_K) {
      var from_a = array<subgroup_matrix_left<f16, UNIT_K, UNIT_M>, UNITS_M>();
      for (var i = 0u; i < UNITS_M; i++) {
        from_a[i] = subgroupMatrixLoad<subgroup_matrix_left<f16, UNIT_K, UNIT_M>, row_major>(&a_tile, ((my_m + i * UNIT_M) * STRIDE + k / 8u) * CELLS, STRIDE * STRIDE_UNIT);
      }
      for (var j = 0u; j < UNITS_N; j++) {
        let from_b = subgroupMatrixLoad<subgroup_matrix_right<f16, UNIT_N, UNIT_K>, col_major>(&b_tile, ((my_n + j * UNIT_N) * STRIDE + k / 8u) * CELLS, STRIDE * STRIDE_UNIT);
        for (var i = 0u; i < UNITS_M; i++) { sums[i * UNITS_N + j] = subgroupMatrixMultiplyAccumulate(from_a[i], from_b, sums[i * UNITS_N + j]); }
      }
    }
  }
  for (var i = 0u; i < UNITS_M; i++) {
    for (var j = 0u; j < UNITS_N; j++) {
      workgroupBarrier();
      subgroupMatrixStore<row_major>(&results, subgroup * UNIT, sums[i * UNITS_N + j], UNIT_N);
      workgroupBarrier();
      for (var e = 4u * (lane % SUBGROUP); e < UNIT; e += 4u * SUBGROUP) {
        let at = subgroup * UNIT + e;
        store_scaled(tile, tile.m + my_m + i * UNIT_M + e / UNIT_N, tile.n + my_n + j * UNIT_N + e % UNIT_N, vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]));
      }
    }
  }
}
