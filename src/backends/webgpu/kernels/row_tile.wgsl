// KEYS rows of keys and values in workgroup memory, zeros behind the last.
var<workgroup> keys: array<vec4f, KEYS * H4>;
var<workgroup> values: array<vec4f, KEYS * V4>;

fn load_tile(first: u32, end: u32, head: u32, lane: u32) {
  for (var i = lane; i < KEYS * H4; i += GROUP) {
    let row = first + i / H4;
    keys[i] = vec4f();
    if (row < end) { keys[i] = k4((row * p.kv_heads + head) * HEAD, 4u * (i % H4)); }
  }
  for (var i = lane; i < KEYS * V4; i += GROUP) {
    let row = first + i / V4;
    values[i] = vec4f();
    if (row < end) { values[i] = v4((row * p.kv_heads + head) * p.value_width, 4u * (i % V4)); }
  }
}
