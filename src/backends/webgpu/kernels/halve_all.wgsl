// A matrix in any storage format as f16 for product_matrix, [padded rows, padded columns], zero beyond
// its ends. SCALED: divided by the power of two that puts its largest number into [2^13, 2^14), which
// becomes the scale `first`; `sizes` holds the largest of its parts. A lane takes eight numbers.
enable f16;
struct Params { weight: Weight, rows: u32, padded_rows: u32, padded: u32, sizes: u32, first: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> halves: array<vec4u>;
@group(0) @binding(2) var<storage, read_write> scales: array<f32>;
//#if SCALED
@group(0) @binding(4) var<storage, read> sizes: array<f32>;
//#endif
//#include grid
//#include reduce
//#include weight
//#include half_scale

//#if SCALED
// Float32's exponent of the largest number.
fn exponent_of_all(lane: u32) -> u32 {
  var largest = 0.0;
  for (var i = lane; i < p.sizes; i += GROUP) { largest = max(largest, sizes[i]); }
  return exponent_of(reduce_max(largest, lane));
}
//#endif

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  var inverse = 1.0;
//#if SCALED
  let exponent = exponent_of_all(lane);
  inverse = inverse_scale(exponent);
  if (i == 0u) { scales[p.first] = scale_of(exponent); }
//#endif
  let row = i / (p.padded / 8u);
  let column = i % (p.padded / 8u) * 8u;
  if (row >= p.padded_rows) { return; }
  var eight = array<vec4f, 2>();
  if (row < p.rows && column < p.weight.columns) { eight = weight8(row, column); }
  halves[i] = vec4u(bitcast<vec2u>(vec4<f16>(eight[0] * inverse)), bitcast<vec2u>(vec4<f16>(eight[1] * inverse)));
}
