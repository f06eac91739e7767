// Rows of queries, keys, values and of the result's gradient, four numbers at a time, where all are
// whole vectors; zeros beyond their end.
alias Numbers = array<vec4f>;

fn row4(what: u32, row: u32, head: u32, vector: u32) -> vec4f {
  let width = select(V4, H4, what <= KEYS);
  return select(vec4f(), vector4(what, row, head, min(vector, width - 1u)), vector < width);
}

fn vector4(what: u32, row: u32, head: u32, vector: u32) -> vec4f {
  if (what == QUERIES) { return q[(row * p.heads + head) * H4 + vector]; }
//#if HAS_VALUES
  if (what == VALUES) { return v[(row * p.kv_heads + head) * (p.value_width / 4u) + vector]; }
//#endif
//#if HAS_SLOPES
  if (what == SLOPES) { return dout[(row * p.heads + head) * V4 + vector]; }
//#endif
  return k[(row * p.kv_heads + head) * H4 + vector];
}
