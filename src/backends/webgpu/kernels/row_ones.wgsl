// Rows of queries, keys, values and of the result's gradient, four numbers at a time, zeros beyond
// their end: where some are not whole vectors.
alias Numbers = array<f32>;

fn row4(what: u32, row: u32, head: u32, vector: u32) -> vec4f {
  var four = vec4f();
  for (var i = 0u; i < 4u; i++) { four[i] = row1(what, row, head, 4u * vector + i); }
  return four;
}

fn row1(what: u32, row: u32, head: u32, column: u32) -> f32 {
  if ((what <= KEYS && column >= HEAD) || (what >= VALUES && column >= VALUE)) { return 0.0; }
  if (what == QUERIES) { return q[(row * p.heads + head) * HEAD + column]; }
//#if HAS_VALUES
  if (what == VALUES) { return v[(row * p.kv_heads + head) * p.value_width + column]; }
//#endif
//#if HAS_SLOPES
  if (what == SLOPES) { return dout[(row * p.heads + head) * VALUE + column]; }
//#endif
  return k[(row * p.kv_heads + head) * HEAD + column];
}
