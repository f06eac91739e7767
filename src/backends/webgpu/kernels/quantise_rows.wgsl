// Rows of x [rows, COLUMNS] as products in integers read them: signed bytes, then for each 32 neighbours a
// float32 scale. With NORM, of their RMS norm. CHUNKS workgroups per row, one where there is a norm.
struct Params { rows: u32, eps: f32, offset: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4f>;
//#if NORM
@group(0) @binding(3) var<storage, read> norm_weight: array<vec4f>;
//#endif
//#include grid
//#include group_reduce
//#include quantised_row

const FOURS: u32 = COLUMNS / 4u;
const OF_CHUNK: u32 = FOURS / CHUNKS;
const SPAN: u32 = (OF_CHUNK + GROUP - 1u) / GROUP;
var<workgroup> peaks: array<f32, GROUP>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let index = group_index(group, groups);
  let row = index / CHUNKS;
  if (row >= p.rows) { return; }
  let first = index % CHUNKS * OF_CHUNK;
  var kept = array<vec4f, SPAN>();
  var scale = 1.0 / 127.0;
  for (var n = 0u; n < SPAN; n++) { kept[n] = x[row * FOURS + first + min(lane + n * GROUP, OF_CHUNK - 1u)]; }
//#if NORM
  var squares = 0.0;
  for (var n = 0u; n < SPAN; n++) {
    let i = lane + n * GROUP;
    if (i < OF_CHUNK) { squares += dot(kept[n], kept[n]); }
    kept[n] *= norm_weight[first + min(i, OF_CHUNK - 1u)] + p.offset;
  }
  // The bytes do not depend on what the norm divides all numbers by.
  scale /= sqrt(group_sum(squares, lane) / f32(COLUMNS) + p.eps);
//#endif
  for (var n = 0u; n < SPAN; n++) {
    let size = abs(kept[n]);
    workgroupBarrier();
    peaks[lane] = max(max(size.x, size.y), max(size.z, size.w));
    workgroupBarrier();
    var largest = 0.0;
    for (var i = 0u; i < 8u; i++) { largest = max(largest, peaks[lane / 8u * 8u + i]); }
    let i = lane + n * GROUP;
    if (i < OF_CHUNK) {
      let block = (first + i) / 8u;
      // Of the least numbers the inverse would overflow; they round to zero.
      let inverse = select(0.0, 127.0 / largest, largest > 1e-30);
      out[4u * half_of(row, block, i % 8u / 4u) + i % 4u] = pack4xI8(vec4i(round(kept[n] * inverse)));
      if (i % 8u == 0u) { out[4u * scales_of(row) + block] = bitcast<u32>(largest * scale); }
    }
  }
}
