// Where the parts of a quantised row lie, in vectors of 16 bytes.
const X_BLOCKS: u32 = COLUMNS / 32u;
const X_VECTORS: u32 = 2u * X_BLOCKS + X_BLOCKS / 4u;

// Half a block's bytes. HALVES_APART: lanes that read both halves of neighbouring blocks so read
// neighbouring vectors.
fn half_of(row: u32, block: u32, half: u32) -> u32 {
  return row * X_VECTORS + select(2u * block + half, half * X_BLOCKS + block, HALVES_APART);
}

fn scales_of(row: u32) -> u32 { return row * X_VECTORS + 2u * X_BLOCKS; }
