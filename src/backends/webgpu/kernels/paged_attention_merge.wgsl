// What the splits of paged_attention_split left of each head, put together. A workgroup per token and
// query head: COLUMNS lanes share a split's sums, ROWS splits are added up at once.
struct Params { items: u32, fault: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(2) var<storage, read> parts: array<vec4f>;
//#include grid
//#include group_reduce
//#if FRESH
//#include fault
fn report(missing: f32) { if (missing > 0.0) { raise(p.fault, i32(missing) - 1); } }
//#else
fn report(missing: f32) {}
//#endif

const LOWEST: f32 = -3.4028234e38;
const COLUMNS: u32 = VALUE / 4u;
const ROWS: u32 = GROUP / COLUMNS;
var<workgroup> factors: array<f32, SPLITS>;
var<workgroup> sums: array<vec4f, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  if (item >= p.items) { return; }
  let base = item * SPLITS * (COLUMNS + 1u);
  // The largest score and the total weight of each split; of those without positions, no weight.
  var end = vec2f(LOWEST, 0.0);
  if (lane < SPLITS) {
    let left = parts[base + lane * (COLUMNS + 1u) + COLUMNS];
    end = left.xy;
    report(left.z);
  }
  let factor = exp(end.x - group_max(end.x, lane));
  if (lane < SPLITS) { factors[lane] = select(0.0, factor, end.y > 0.0); }
  let total = group_sum(end.y * factor, lane);
  let column = lane % COLUMNS;
  var sum = vec4f();
  if (lane < ROWS * COLUMNS) {
    for (var i = lane / COLUMNS; i < SPLITS; i += ROWS) {
      if (factors[i] > 0.0) { sum += parts[base + i * (COLUMNS + 1u) + column] * factors[i]; }
    }
  }
  sums[lane] = sum;
  workgroupBarrier();
  if (lane < COLUMNS) {
    for (var r = 1u; r < ROWS; r++) { sum += sums[r * COLUMNS + lane]; }
    // A token of no sequence has nothing to look at.
    out[item * COLUMNS + lane] = select(vec4f(), sum / total, total > 0.0);
  }
}
