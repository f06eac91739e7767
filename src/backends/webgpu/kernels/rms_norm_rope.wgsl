// rms_norm_rope: the norm of every head of x [T, N, H], then the rotation of its first 2F numbers by
// position * frequency (see rope). A workgroup per head, which lies in workgroup memory in between.
struct Params { items: u32, heads: u32, frequencies: u32, eps: f32, offset: f32, amplitude: f32, direction: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<i32>;
@group(0) @binding(5) var<storage, read> frequency: array<f32>;
//#include grid
//#include reduce
//#include sincos

var<workgroup> normed: array<f32, HEAD>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let item = group_index(group, groups);
  if (item >= p.items) { return; }
  let base = item * HEAD;
  var squares = 0.0;
  for (var i = lane; i < HEAD; i += GROUP) { squares += x[base + i] * x[base + i]; }
  let inverse = 1.0 / sqrt(reduce_sum(squares, lane) / f32(HEAD) + p.eps);
  for (var i = lane; i < HEAD; i += GROUP) { normed[i] = x[base + i] * inverse * (weight[i] + p.offset); }
  workgroupBarrier();
  let position = f32(positions[item / p.heads]);
  for (var i = 2u * p.frequencies + lane; i < HEAD; i += GROUP) { out[base + i] = normed[i]; }
  for (var f = lane; f < p.frequencies; f += GROUP) {
    let first = select(f, 2u * f, INTERLEAVED);
    let second = select(f + p.frequencies, 2u * f + 1u, INTERLEAVED);
    let rotation = cos_sin(position * frequency[f]) * p.amplitude;
    let sine = rotation.y * p.direction;
    out[base + first] = normed[first] * rotation.x - normed[second] * sine;
    out[base + second] = normed[second] * rotation.x + normed[first] * sine;
  }
}
