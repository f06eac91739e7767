// Which tile of C a workgroup computes, and which part of its sums: its first row and column, where its
// rows end, and the row of B at which its matrix begins. Plainly, C is [m, n] and its tiles are taken
// in bands of BAND along m, within a band column by column: neighbours in time share what they read.
// With EXPERTS, the rows are choices in the order of group_experts, and B is one matrix of many.
struct Tile { part: u32, m: u32, n: u32, end: u32, base: u32 }

//#if EXPERTS
fn tile_of(index: u32, m: u32, n: u32) -> Tile {
  let across = (n + TILE_N - 1u) / TILE_N;
  let entry = 3u * (index / across);
  if (entry >= arrayLength(&expert_tiles)) { return Tile(0u, 0u, 0u, 0u, 0u); }
  return Tile(0u, u32(expert_tiles[entry + 1u]), index % across * TILE_N, u32(expert_tiles[entry + 2u]), u32(expert_tiles[entry]) * n);
}

// The choice that row m is of: its row of C.
fn choice_of(m: u32) -> u32 { return u32(order[m]); }

// The row of A.
fn source_of(m: u32) -> u32 { return u32(order[m]) / p.share; }
//#else
const BAND: u32 = 16u;

fn tile_of(index: u32, m: u32, n: u32) -> Tile {
  let down = (m + TILE_M - 1u) / TILE_M;
  let across = (n + TILE_N - 1u) / TILE_N;
  let i = index % (down * across);
  let band = i / (BAND * across);
  let height = min(BAND, down - band * BAND);
  let within = i - band * BAND * across;
  return Tile(index / (down * across), (band * BAND + within % height) * TILE_M, within / height * TILE_N, m, 0u);
}

fn choice_of(m: u32) -> u32 { return m; }
fn source_of(m: u32) -> u32 { return m; }
//#endif
