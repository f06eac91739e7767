// Which tile of C [m, n] a workgroup computes, and which part of its sums. Tiles are taken in bands of
// BAND tiles along m, within a band column by column: neighbours in time share what they read.
const BAND: u32 = 16u;

struct Tile { part: u32, m: u32, n: u32 }

fn tile_of(index: u32, m: u32, n: u32) -> Tile {
  let down = (m + TILE_M - 1u) / TILE_M;
  let across = (n + TILE_N - 1u) / TILE_N;
  let i = index % (down * across);
  let band = i / (BAND * across);
  let height = min(BAND, down - band * BAND);
  let within = i - band * BAND * across;
  return Tile(index / (down * across), (band * BAND + within % height) * TILE_M, within / height * TILE_N);
}
