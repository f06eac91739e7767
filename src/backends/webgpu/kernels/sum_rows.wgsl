// Sums over rows, `chunk` rows at a time: x [rows, columns] -> out [rows / chunk, columns], times a
// factor. A workgroup takes GROUP / DEEP columns of a chunk, DEEP lanes share each: lane d of them adds
// up every DEEP-th row, and the first one what they have, in order. Results are reproducible.
struct Params { rows: u32, columns: u32, chunk: u32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#include grid

const WIDTH: u32 = GROUP / DEEP;
var<workgroup> sums: array<f32, GROUP>;

fn sum_of(first: u32, end: u32, column: u32) -> f32 {
  // Four sums, so that a lane waits for four reads at once.
  var four = vec4f();
  var row = first;
  for (; row + 3u * DEEP < end; row += 4u * DEEP) {
    for (var i = 0u; i < 4u; i++) { four[i] += x[(row + i * DEEP) * p.columns + column]; }
  }
  for (; row < end; row += DEEP) { four.x += x[row * p.columns + column]; }
  return four.x + four.y + four.z + four.w;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let tiles = (p.columns + WIDTH - 1u) / WIDTH;
  let index = group_index(group, groups);
  let column = index % tiles * WIDTH + lane % WIDTH;
  let first = index / tiles * p.chunk;
  if (first >= p.rows) { return; }
  if (column < p.columns) { sums[lane] = sum_of(first + lane / WIDTH, min(first + p.chunk, p.rows), column); }
  workgroupBarrier();
  if (lane >= WIDTH || column >= p.columns) { return; }
  var sum = sums[lane];
  for (var i = 1u; i < DEEP; i++) { sum += sums[i * WIDTH + lane]; }
  out[index / tiles * p.columns + column] = sum * p.factor;
}
