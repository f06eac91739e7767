// add_rms_norm: sum = a + b, and its RMS norm. A workgroup per row. With SPAN, rows are read in vectors
// of four, SPAN of them a lane, which stay in registers in between.
struct Params { rows: u32, columns: u32, eps: f32, offset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
//#if FOURS
@group(0) @binding(1) var<storage, read_write> sum: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(3) var<storage, read> a: array<vec4f>;
@group(0) @binding(4) var<storage, read> b: array<vec4f>;
@group(0) @binding(5) var<storage, read> weight: array<vec4f>;
//#else
@group(0) @binding(1) var<storage, read_write> sum: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> a: array<f32>;
@group(0) @binding(4) var<storage, read> b: array<f32>;
@group(0) @binding(5) var<storage, read> weight: array<f32>;
//#endif
//#include grid
//#include reduce

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group_index(group, groups);
  if (row >= p.rows) { return; }
  var squares = 0.0;
//#if FOURS
  let width = p.columns / 4u;
  let base = row * width;
  var kept = array<vec4f, SPAN>();
  for (var s = 0u; s < SPAN; s++) {
    let i = min(lane + s * GROUP, width - 1u);
    kept[s] = a[base + i] + b[base + i];
  }
  for (var s = 0u; s < SPAN; s++) {
    if (lane + s * GROUP < width) { squares += dot(kept[s], kept[s]); }
  }
  let inverse = 1.0 / sqrt(reduce_sum(squares, lane) / f32(p.columns) + p.eps);
  for (var s = 0u; s < SPAN; s++) {
    let i = lane + s * GROUP;
    if (i < width) {
      sum[base + i] = kept[s];
      out[base + i] = kept[s] * inverse * (weight[i] + p.offset);
    }
  }
//#else
  let base = row * p.columns;
  for (var i = lane; i < p.columns; i += GROUP) {
    let s = a[base + i] + b[base + i];
    sum[base + i] = s;
    squares += s * s;
  }
  let inverse = 1.0 / sqrt(reduce_sum(squares, lane) / f32(p.columns) + p.eps);
  // Each lane reads back only what it wrote itself.
  for (var i = lane; i < p.columns; i += GROUP) { out[base + i] = sum[base + i] * inverse * (weight[i] + p.offset); }
//#endif
}
