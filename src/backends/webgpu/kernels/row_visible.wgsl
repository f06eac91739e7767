// First row that the token of row t sees: sequences lie end to end, and row `starts[t]` holds position 0.
//#include visible

fn lowest(t: u32) -> u32 {
  return u32(starts[t]) + first_visible(u32(positions[t]));
}
