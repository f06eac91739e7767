// The choices [T, k] of a router, sorted by expert: `order` holds their numbers, one expert's after
// another, and `tiles` three numbers for each run of up to TILE_M of one expert: the expert, where the
// run begins in `order`, and where the expert's choices end. Entries of `tiles` that are left over are
// empty. One workgroup; how choices of the same expert follow each other may differ from run to run.
struct Params { count: u32, tiles: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> order: array<i32>;
@group(0) @binding(2) var<storage, read_write> tiles: array<i32>;
@group(0) @binding(3) var<storage, read> indices: array<i32>;

var<workgroup> sizes: array<atomic<u32>, EXPERTS>;
var<workgroup> begins: array<u32, EXPERTS>;
var<workgroup> first_tiles: array<u32, EXPERTS>;
var<workgroup> used: u32;

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  for (var i = lane; i < p.count; i += GROUP) { atomicAdd(&sizes[u32(indices[i])], 1u); }
  workgroupBarrier();
  if (lane == 0u) {
    var begin = 0u;
    var tile = 0u;
    for (var e = 0u; e < EXPERTS; e++) {
      begins[e] = begin;
      first_tiles[e] = tile;
      let size = atomicLoad(&sizes[e]);
      begin += size;
      tile += (size + TILE_M - 1u) / TILE_M;
    }
    used = tile;
  }
  workgroupBarrier();
  for (var e = lane; e < EXPERTS; e += GROUP) {
    let size = atomicLoad(&sizes[e]);
    for (var i = 0u; i * TILE_M < size; i++) {
      let entry = 3u * (first_tiles[e] + i);
      tiles[entry] = i32(e);
      tiles[entry + 1u] = i32(begins[e] + i * TILE_M);
      tiles[entry + 2u] = i32(begins[e] + size);
    }
  }
  for (var entry = 3u * (used + lane); entry < 3u * p.tiles; entry += 3u * GROUP) {
    tiles[entry] = 0;
    tiles[entry + 1u] = 0;
    tiles[entry + 2u] = 0;
  }
  workgroupBarrier();
  for (var e = lane; e < EXPERTS; e += GROUP) { atomicStore(&sizes[e], begins[e]); }
  workgroupBarrier();
  for (var i = lane; i < p.count; i += GROUP) { order[atomicAdd(&sizes[u32(indices[i])], 1u)] = i32(i); }
}
