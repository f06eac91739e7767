// The largest number of a row of logits, and the sum of e^(x - largest). All lanes must call.
fn exponentials(base: u32, lane: u32) -> vec2f {
  var largest = logits[base];
  for (var i = lane; i < p.columns; i += GROUP) { largest = max(largest, logits[base + i]); }
  largest = reduce_max(largest, lane);
  var total = 0.0;
  for (var i = lane; i < p.columns; i += GROUP) { total += exp(logits[base + i] - largest); }
  return vec2f(largest, reduce_sum(total, lane));
}
