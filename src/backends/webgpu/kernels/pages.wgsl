// Where a token's rows lie: pages of 64 tokens, found through the page table of its sequence.
const PAGE: u32 = 64u;

// The physical page, or -1 where there is none.
fn page_of(slot: u32, logical: u32) -> i32 {
  if (logical >= p.entries) { return -1; }
  return page_table[slot * p.entries + logical];
}
