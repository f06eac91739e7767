// C [m, n] = A B (+ bias [n]) on the GPU's matrix units: f16 numbers, float32 sums. A is f16: rows of
// a_width numbers [m, k] with a scale each (halve_rows), or with A_TALL [k, m] with one scale for all
// (halve_all). B is stored [n, k]: as f16 in whole steps of k (B_HALVES), or in any storage format,
// rounded to f16 here; or with B_TALL as f16 [k, n]. B_SCALED: it has a scale too. A workgroup computes a tile of
// TILE_M x TILE_N, DEPTH steps of k at a time through workgroup memory, a subgroup SIDE_M x SIDE_N of it
// in units of UNIT_M x UNIT_N. Workgroups of the same tile may divide k among them; each then writes a C
// of its own, one after another. With EXPERTS, each row of A (`share` choices have one in common) meets
// the matrix of the expert that was chosen.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
struct Params { weight: Weight, m: u32, n: u32, k: u32, steps: u32, a_width: u32, b_scale: u32, share: u32 }
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
const UNIT: u32 = UNIT_M * UNIT_N;

// Tiles lie as their matrices do, eight f16 at a time, with one such group between rows: their banks
// then differ.
//#if A_TALL
const A_ROWS: u32 = DEPTH;
const A_EIGHTHS: u32 = TILE_M / 8u;
//#else
const A_ROWS: u32 = TILE_M;
const A_EIGHTHS: u32 = DEPTH / 8u;
//#endif
//#if B_TALL
const B_ROWS: u32 = DEPTH;
const B_EIGHTHS: u32 = TILE_N / 8u;
//#else
const B_ROWS: u32 = TILE_N;
const B_EIGHTHS: u32 = DEPTH / 8u;
//#endif
const A_STRIDE: u32 = A_EIGHTHS + 1u;
const B_STRIDE: u32 = B_EIGHTHS + 1u;

//#if VECTORS
alias Cell = vec4u;
const CELLS: u32 = 1u;
//#else
alias Cell = f16;
const CELLS: u32 = 8u;
//#endif
// Two units of sums for each subgroup, used by turns.
const TURN: u32 = (TILE_M / SIDE_M) * ACROSS * UNIT;
var<workgroup> a_tile: array<Cell, A_ROWS * A_STRIDE * CELLS>;
//#if VECTORS
// Once B has been used, the sums: the less memory a workgroup takes, the more of them a processor holds.
var<workgroup> b_tile: array<Cell, max(B_ROWS * B_STRIDE, 2u * TURN / 4u)>;
fn put_sums(at: u32, sums: Sums) { subgroupMatrixStore<row_major>(&b_tile, min(at, 2u * TURN - UNIT) / 4u, sums, UNIT_N / 4u * SUMS_STRIDE); }
fn four_sums(at: u32) -> vec4f { return bitcast<vec4f>(b_tile[at / 4u]); }
//#else
var<workgroup> b_tile: array<Cell, B_ROWS * B_STRIDE * CELLS>;
var<workgroup> results: array<f32, 2u * TURN>;
fn put_sums(at: u32, sums: Sums) { subgroupMatrixStore<row_major>(&results, min(at, 2u * TURN - UNIT), sums, UNIT_N); }
fn four_sums(at: u32) -> vec4f { return vec4f(results[at], results[at + 1u], results[at + 2u], results[at + 3u]); }
//#endif

// The place of eight number e of a tile of A in A, before any step of k. Rows beyond the last repeat it:
// their results are dropped.
//#if A_TALL
fn a_place(tile: Tile, e: u32) -> u32 {
  let width = p.a_width / 8u;
  return e / A_EIGHTHS * width + min(tile.m / 8u + e % A_EIGHTHS, width - 1u);
}
fn a_eight(place: u32, k: u32) -> vec4u { return a[place + k * (p.a_width / 8u)]; }
//#else
fn a_place(tile: Tile, e: u32) -> u32 {
  return source_of(min(tile.m + e / A_EIGHTHS, tile.end - 1u)) * (p.a_width / 8u) + e % A_EIGHTHS;
}
fn a_eight(place: u32, k: u32) -> vec4u { return a[place + k / 8u]; }
//#endif

//#if B_TALL
fn b_place(tile: Tile, e: u32) -> u32 {
  let width = p.weight.columns / 8u;
  return e / B_EIGHTHS * width + min(tile.n / 8u + e % B_EIGHTHS, width - 1u);
}
fn b_eight(place: u32, e: u32, k: u32) -> vec4u { return w[place + k * (p.weight.columns / 8u)]; }
//#endif
//#if B_HALVES
fn b_place(tile: Tile, e: u32) -> u32 {
  return (tile.base + min(tile.n + e / B_EIGHTHS, p.n - 1u)) * (p.weight.columns / 8u) + e % B_EIGHTHS;
}
fn b_eight(place: u32, e: u32, k: u32) -> vec4u { return w[place + k / 8u]; }
//#endif
//#if B_DECODED
// Here, the row.
fn b_place(tile: Tile, e: u32) -> u32 { return tile.base + min(tile.n + e / B_EIGHTHS, p.n - 1u); }
fn b_eight(row: u32, e: u32, k: u32) -> vec4u {
  let column = k + 8u * (e % B_EIGHTHS);
  if (column >= p.weight.columns) { return vec4u(); }
  let eight = weight8(row, column);
  return vec4u(bitcast<vec2u>(vec4<f16>(eight[0])), bitcast<vec2u>(vec4<f16>(eight[1])));
}
//#endif

//#if VECTORS
fn put_a(at: u32, eight: vec4u) { a_tile[at] = eight; }
fn put_b(at: u32, eight: vec4u) { b_tile[at] = eight; }
//#else
fn put_a(at: u32, eight: vec4u) {
  let low = bitcast<vec4<f16>>(eight.xy);
  let high = bitcast<vec4<f16>>(eight.zw);
  for (var i = 0u; i < 4u; i++) {
    a_tile[8u * at + i] = low[i];
    a_tile[8u * at + 4u + i] = high[i];
  }
}
fn put_b(at: u32, eight: vec4u) {
  let low = bitcast<vec4<f16>>(eight.xy);
  let high = bitcast<vec4<f16>>(eight.zw);
  for (var i = 0u; i < 4u; i++) {
    b_tile[8u * at + i] = low[i];
    b_tile[8u * at + 4u + i] = high[i];
  }
}
//#endif

alias Left = subgroup_matrix_left<f16, UNIT_K, UNIT_M>;
alias Right = subgroup_matrix_right<f16, UNIT_N, UNIT_K>;
alias Sums = subgroup_matrix_result<f32, UNIT_N, UNIT_M>;

// Where the last unit of a tile begins. WebGPU checks that every unit lies within its array, which a driver
// can do once for all, while it compiles, if the places are seen to be no larger: this doubles the rate.
const LAST_K: u32 = DEPTH - UNIT_K;
//#if A_TALL
const LAST_A: u32 = LAST_K * A_STRIDE + (TILE_M - UNIT_M) / 8u;
fn a_unit(m: u32, k: u32) -> Left { return subgroupMatrixLoad<Left, col_major>(&a_tile, min(k * A_STRIDE + m / 8u, LAST_A) * CELLS, A_STRIDE * STRIDE_UNIT); }
//#else
const LAST_A: u32 = (TILE_M - UNIT_M) * A_STRIDE + LAST_K / 8u;
fn a_unit(m: u32, k: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&a_tile, min(m * A_STRIDE + k / 8u, LAST_A) * CELLS, A_STRIDE * STRIDE_UNIT); }
//#endif
//#if B_TALL
const LAST_B: u32 = LAST_K * B_STRIDE + (TILE_N - UNIT_N) / 8u;
fn b_unit(n: u32, k: u32) -> Right { return subgroupMatrixLoad<Right, row_major>(&b_tile, min(k * B_STRIDE + n / 8u, LAST_B) * CELLS, B_STRIDE * STRIDE_UNIT); }
//#else
const LAST_B: u32 = (TILE_N - UNIT_N) * B_STRIDE + LAST_K / 8u;
fn b_unit(n: u32, k: u32) -> Right { return subgroupMatrixLoad<Right, col_major>(&b_tile, min(n * B_STRIDE + k / 8u, LAST_B) * CELLS, B_STRIDE * STRIDE_UNIT); }
//#endif

//#if A_TALL
fn a_scale(m: u32) -> f32 { return scales[0]; }
//#else
fn a_scale(m: u32) -> f32 { return scales[source_of(m)]; }
//#endif
//#if B_SCALED
fn b_scale() -> f32 { return scales[p.b_scale]; }
//#else
fn b_scale() -> f32 { return 1.0; }
//#endif

fn store_scaled(tile: Tile, m: u32, n: u32, sums: vec4f) {
  if (m < tile.end) { store(tile, m, n, sums * (a_scale(m) * b_scale())); }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(subgroup_id) subgroup: u32, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group_index(group, groups), p.m, p.n);
  let k_begin = tile.part * p.steps;
  if (tile.m >= tile.end || k_begin >= p.k) { return; }
  let k_end = min(k_begin + p.steps, p.k);
  let my_m = subgroup / ACROSS * SIDE_M;
  let my_n = subgroup % ACROSS * SIDE_N;
  //#unroll
  for (var i = 0u; i < UNITS_M; i++) {
    //#unroll
    for (var j = 0u; j < UNITS_N; j++) {
      var sums_{i}_{j}: Sums;
    }
  }
  // The next step is read while this one is computed.
  //#unroll
  for (var i = 0u; i < A_LOADS; i++) {
    let a_place_{i} = a_place(tile, lane + i * GROUP);
    var next_a_{i} = a_eight(a_place_{i}, k_begin);
  }
  //#unroll
  for (var i = 0u; i < B_LOADS; i++) {
    let b_place_{i} = b_place(tile, lane + i * GROUP);
    var next_b_{i} = b_eight(b_place_{i}, lane + i * GROUP, k_begin);
  }
  for (var k0 = k_begin; k0 < k_end; k0 += DEPTH) {
    workgroupBarrier();
    //#unroll
    for (var i = 0u; i < A_LOADS; i++) {
      put_a((lane + i * GROUP) / A_EIGHTHS * A_STRIDE + (lane + i * GROUP) % A_EIGHTHS, next_a_{i});
    }
    //#unroll
    for (var i = 0u; i < B_LOADS; i++) {
      put_b((lane + i * GROUP) / B_EIGHTHS * B_STRIDE + (lane + i * GROUP) % B_EIGHTHS, next_b_{i});
    }
    workgroupBarrier();
    let k1 = k0 + DEPTH;
    if (k1 < k_end) {
      //#unroll
      for (var i = 0u; i < A_LOADS; i++) {
        next_a_{i} = a_eight(a_place_{i}, k1);
      }
      //#unroll
      for (var i = 0u; i < B_LOADS; i++) {
        next_b_{i} = b_eight(b_place_{i}, lane + i * GROUP, k1);
      }
    }
    //#unroll
    for (var s = 0u; s < UNITS_K; s++) {
      //#unroll
      for (var i = 0u; i < UNITS_M; i++) {
        let from_a_{s}_{i} = a_unit(my_m + i * UNIT_M, s * UNIT_K);
      }
      //#unroll
      for (var j = 0u; j < UNITS_N; j++) {
        let from_b_{s}_{j} = b_unit(my_n + j * UNIT_N, s * UNIT_K);
      }
      //#unroll
      for (var i = 0u; i < UNITS_M; i++) {
        //#unroll
        for (var j = 0u; j < UNITS_N; j++) {
          sums_{i}_{j} = subgroupMatrixMultiplyAccumulate(from_a_{s}_{i}, from_b_{s}_{j}, sums_{i}_{j});
        }
      }
    }
  }
  workgroupBarrier();
  //#unroll
  for (var i = 0u; i < UNITS_M; i++) {
    //#unroll
    for (var j = 0u; j < UNITS_N; j++) {
      put_sums((i * UNITS_N + j) % 2u * TURN + subgroup * UNIT, sums_{i}_{j});
      workgroupBarrier();
      for (var e = 4u * (lane % SUBGROUP); e < UNIT; e += 4u * SUBGROUP) {
        let at = (i * UNITS_N + j) % 2u * TURN + subgroup * UNIT + e;
        store_scaled(tile, tile.m + my_m + i * UNIT_M + e / UNIT_N, tile.n + my_n + j * UNIT_N + e % UNIT_N, four_sums(at));
      }
    }
  }
}
