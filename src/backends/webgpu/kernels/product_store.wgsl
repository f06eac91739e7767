// Four results of a row of C, unless they lie beyond the tile.
fn store(tile: Tile, m: u32, n: u32, sums: vec4f) {
  if (m >= tile.end || n >= p.n) { return; }
  let at = (tile.part * p.m + choice_of(m)) * p.n + n;
  var four = sums;
//#if BIAS
  for (var i = 0u; i < 4u; i++) { if (n + i < p.n) { four[i] += bias[n + i]; } }
//#endif
//#if C_ALIGNED
  c[at / 4u] = four;
//#else
  for (var i = 0u; i < 4u; i++) { if (n + i < p.n) { c[at + i] = four[i]; } }
//#endif
}
