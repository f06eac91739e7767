// First position that the token at `position` sees.
fn first_visible(position: u32) -> u32 {
  var first = 0u;
  if (p.window > 0u && position >= p.window) { first = position - p.window + 1u; }
  if (p.chunk > 0u) { first = max(first, position / p.chunk * p.chunk); }
  return first;
}
