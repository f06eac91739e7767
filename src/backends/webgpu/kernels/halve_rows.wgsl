// Rows of activations for product_matrix: x [m, columns] to f16 [m, padded], zero beyond the columns,
// each row divided by a power of two that puts its largest number into [2^13, 2^14); y = f16 * scale.
// So nothing overflows f16, and what falls below it is 2^-37 of the row's largest. A workgroup per row.
enable f16;
struct Params { rows: u32, columns: u32, padded: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> halves: array<vec4<f16>>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
//#if ALIGNED
@group(0) @binding(3) var<storage, read> x: array<vec4f>;
//#else
@group(0) @binding(3) var<storage, read> x: array<f32>;
//#endif
//#include grid
//#include reduce
//#include half_scale

fn four_at(row: u32, column: u32) -> vec4f {
  var four = vec4f();
//#if ALIGNED
  if (column < p.columns) { four = x[(row * p.columns + column) / 4u]; }
//#else
  for (var i = 0u; i < 4u; i++) {
    if (column + i < p.columns) { four[i] = x[row * p.columns + column + i]; }
  }
//#endif
  return four;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  var largest = 0.0;
  for (var column = 4u * lane; column < p.columns; column += 4u * GROUP) {
    let four = abs(four_at(row, column));
    largest = max(largest, max(max(four.x, four.y), max(four.z, four.w)));
  }
  let exponent = exponent_of(reduce_max(largest, lane));
  let inverse = inverse_scale(exponent);
  if (lane == 0u) { scales[row] = scale_of(exponent); }
  for (var column = 4u * lane; column < p.padded; column += 4u * GROUP) {
    halves[(row * p.padded + column) / 4u] = vec4<f16>(four_at(row, column) * inverse);
  }
}
