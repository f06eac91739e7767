// What the splits of paged_attention_split left of each head, put together. A workgroup per token and
// query head: COLUMNS lanes share a split's sums, ROWS splits are added up at once.
struct Params { items: u32, heads: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<storage, read> parts: array<vec4f>;
@group(0) @binding(3) var<storage, read> slots: array<i32>;
//#include grid

const LOWEST: f32 = -3.4028234e38;
const COLUMNS: u32 = VALUE / 4u;
const ROWS: u32 = GROUP / COLUMNS;
var<workgroup> ends: array<vec2f, SPLITS>;
var<workgroup> sums: array<vec4f, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  if (item >= p.items) { return; }
  if (slots[item / p.heads] < 0) {
    if (lane < COLUMNS) { out[item * COLUMNS + lane] = vec4f(); }
    return;
  }
  let base = item * SPLITS * (COLUMNS + 1u);
  if (lane < SPLITS) { ends[lane] = parts[base + lane * (COLUMNS + 1u) + COLUMNS].xy; }
  workgroupBarrier();
  var largest = LOWEST;
  for (var i = 0u; i < SPLITS; i++) { largest = max(largest, ends[i].x); }
  var total = 0.0;
  for (var i = 0u; i < SPLITS; i++) { total += ends[i].y * exp(ends[i].x - largest); }
  let column = lane % COLUMNS;
  var sum = vec4f();
  if (lane < ROWS * COLUMNS) {
    for (var i = lane / COLUMNS; i < SPLITS; i += ROWS) { sum += parts[base + i * (COLUMNS + 1u) + column] * exp(ends[i].x - largest); }
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < COLUMNS) {
    for (var r = 1u; r < ROWS; r++) { sum += sums[r * COLUMNS + lane]; }
    out[item * COLUMNS + lane] = sum / total;
  }
}
