// C [m, n] = A B (+ bias [n]) in float32: linear's y = x W^T and the products of its gradients. A is
// stored [m, k], or [k, m] with A_TALL; B, a matrix in any storage format, [n, k], or [k, n] with
// B_TALL. A workgroup computes a tile of TILE_M x TILE_N, DEPTH steps of k at a time through workgroup
// memory, a lane LANE_M x LANE_N of it in registers. Workgroups of the same tile may divide k among
// them; each then writes a C of its own, one after another, and sum_parts adds them up. With EXPERTS,
// each row of A (`share` choices have one in common) meets the matrix of the expert that was chosen.
struct Params { weight: Weight, m: u32, n: u32, k: u32, steps: u32, share: u32 }
@group(0) @binding(0) var<uniform> p: Params;
//#if C_ALIGNED
@group(0) @binding(1) var<storage, read_write> c: array<vec4f>;
//#else
@group(0) @binding(1) var<storage, read_write> c: array<f32>;
//#endif
//#if A_ALIGNED
@group(0) @binding(2) var<storage, read> a: array<vec4f>;
//#else
@group(0) @binding(2) var<storage, read> a: array<f32>;
//#endif
//#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
//#endif
//#if EXPERTS
@group(0) @binding(4) var<storage, read> order: array<i32>;
@group(0) @binding(5) var<storage, read> expert_tiles: array<i32>;
//#endif
//#include grid
//#include tiles
//#include place
//#include weight
//#include product_store

// Vectors of four in a step of a tile.
const A_VECTORS: u32 = TILE_M / 4u;
const B_VECTORS: u32 = TILE_N / 4u;
// Lanes along either side of the tile.
const DOWN: u32 = TILE_M / LANE_M;
const ACROSS: u32 = TILE_N / LANE_N;
// Vectors of a lane.
const MINE_M: u32 = LANE_M / 4u;
const MINE_N: u32 = LANE_N / 4u;

// A step of k after another, vectors along m and n, where `place` says.
var<workgroup> a_tile: array<vec4f, DEPTH * A_VECTORS>;
var<workgroup> b_tile: array<vec4f, DEPTH * B_VECTORS>;

fn a4(row: u32, column: u32) -> vec4f {
//#if A_TALL
  let width = p.m;
//#else
  let width = p.k;
//#endif
//#if A_ALIGNED
  return a[(row * width + column) / 4u];
//#else
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) {
    if (column + i < width) { four[i] = a[row * width + column + i]; }
  }
  return four;
//#endif
}

// Four steps of k from k0, each with four numbers from m0; zero beyond the ends.
fn a_block(tile: Tile, m0: u32, k0: u32, k_end: u32) -> mat4x4f {
  var block = mat4x4f();
//#if A_TALL
  if (m0 >= tile.end) { return block; }
  for (var i = 0u; i < 4u; i++) { if (k0 + i < k_end) { block[i] = a4(k0 + i, m0); } }
  return block;
//#else
  if (k0 >= k_end) { return block; }
  for (var i = 0u; i < 4u; i++) { if (m0 + i < tile.end) { block[i] = a4(source_of(m0 + i), k0); } }
  return transpose(block);
//#endif
}

fn b_block(tile: Tile, n0: u32, k0: u32, k_end: u32) -> mat4x4f {
  var block = mat4x4f();
//#if B_TALL
  if (n0 >= p.n) { return block; }
  for (var i = 0u; i < 4u; i++) { if (k0 + i < k_end) { block[i] = weight4(tile.base + k0 + i, n0); } }
  return block;
//#else
  if (k0 >= k_end) { return block; }
  for (var i = 0u; i < 4u; i++) { if (n0 + i < p.n) { block[i] = weight4(tile.base + n0 + i, k0); } }
  return transpose(block);
//#endif
}

// Which block of four by four is a lane's i-th: neighbours read along what is stored together.
fn block_at(i: u32, vectors: u32, tall: bool) -> vec2u {
  if (tall) { return vec2u(i % vectors, i / vectors); }
  return vec2u(i / (DEPTH / 4u), i % (DEPTH / 4u));
}

fn load_tiles(tile: Tile, k0: u32, k_end: u32, lane: u32) {
  for (var i = lane; i < A_VECTORS * (DEPTH / 4u); i += GROUP) {
    let at = block_at(i, A_VECTORS, A_TALL);
    let block = a_block(tile, tile.m + 4u * at.x, k0 + 4u * at.y, k_end);
    for (var j = 0u; j < 4u; j++) { a_tile[place(4u * at.y + j, at.x, A_VECTORS)] = block[j]; }
  }
  for (var i = lane; i < B_VECTORS * (DEPTH / 4u); i += GROUP) {
    let at = block_at(i, B_VECTORS, B_TALL);
    let block = b_block(tile, tile.n + 4u * at.x, k0 + 4u * at.y, k_end);
    for (var j = 0u; j < 4u; j++) { b_tile[place(4u * at.y + j, at.x, B_VECTORS)] = block[j]; }
  }
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tile = tile_of(group_index(group, groups), p.m, p.n);
  let k_begin = tile.part * p.steps;
  if (tile.m >= tile.end || k_begin >= p.k) { return; }
  let k_end = min(k_begin + p.steps, p.k);
  let down = lane / ACROSS;
  let across = lane % ACROSS;
  var sums = array<vec4f, LANE_M * MINE_N>();
  for (var k0 = k_begin; k0 < k_end; k0 += DEPTH) {
    workgroupBarrier();
    load_tiles(tile, k0, k_end, lane);
    workgroupBarrier();
    for (var k = 0u; k < DEPTH; k++) {
      var from_b = array<vec4f, MINE_N>();
      for (var j = 0u; j < MINE_N; j++) { from_b[j] = b_tile[place(k, across + j * ACROSS, B_VECTORS)]; }
      for (var i = 0u; i < MINE_M; i++) {
        let from_a = a_tile[place(k, down + i * DOWN, A_VECTORS)];
        for (var r = 0u; r < 4u; r++) {
          for (var j = 0u; j < MINE_N; j++) { sums[(4u * i + r) * MINE_N + j] += from_a[r] * from_b[j]; }
        }
      }
    }
  }
  for (var i = 0u; i < LANE_M; i++) {
    let m = tile.m + 4u * (down + i / 4u * DOWN) + i % 4u;
    for (var j = 0u; j < MINE_N; j++) { store(tile, m, tile.n + 4u * (across + j * ACROSS), sums[i * MINE_N + j]); }
  }
}
