// rms_norm_rope: the norm of every head of x [T, N, H], then the rotation of its first 2F numbers by
// position * frequency (see rope). A workgroup per head, which lies in workgroup memory in between.
// With PAIR the heads of a second tensor follow, with a norm of their own.
struct Params { items: u32, heads: u32, more_items: u32, more_heads: u32, frequencies: u32, eps: f32, offset: f32, amplitude: f32, direction: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
//#if PAIR
@group(0) @binding(2) var<storage, read_write> more_out: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> more_x: array<f32>;
@group(0) @binding(5) var<storage, read> weight: array<f32>;
@group(0) @binding(6) var<storage, read> more_weight: array<f32>;
@group(0) @binding(7) var<storage, read> positions: array<i32>;
@group(0) @binding(8) var<storage, read> frequency: array<f32>;
//#else
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> positions: array<i32>;
@group(0) @binding(5) var<storage, read> frequency: array<f32>;
//#endif
//#include grid
//#include reduce
//#include rotation

var<workgroup> normed: array<f32, HEAD>;
// Whether the head is one of the second tensor.
var<private> more: bool;

//#if PAIR
fn number_at(i: u32) -> f32 { if (more) { return more_x[i]; } return x[i]; }
fn weight_of(i: u32) -> f32 { if (more) { return more_weight[i]; } return weight[i]; }
fn put(i: u32, value: f32) { if (more) { more_out[i] = value; } else { out[i] = value; } }
//#else
fn number_at(i: u32) -> f32 { return x[i]; }
fn weight_of(i: u32) -> f32 { return weight[i]; }
fn put(i: u32, value: f32) { out[i] = value; }
//#endif

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  var item = group_index(group, groups);
  if (item >= p.items + p.more_items) { return; }
  more = item >= p.items;
  item -= select(0u, p.items, more);
  let base = item * HEAD;
  var squares = 0.0;
  for (var i = lane; i < HEAD; i += GROUP) {
    let number = number_at(base + i);
    normed[i] = number;
    squares += number * number;
  }
  let inverse = 1.0 / sqrt(reduce_sum(squares, lane) / f32(HEAD) + p.eps);
  for (var i = lane; i < HEAD; i += GROUP) { normed[i] *= inverse * (weight_of(i) + p.offset); }
  workgroupBarrier();
  let position = positions[item / select(p.heads, p.more_heads, more)];
  for (var i = 2u * p.frequencies + lane; i < HEAD; i += GROUP) { put(base + i, normed[i]); }
  for (var f = lane; f < p.frequencies; f += GROUP) {
    let at = pair_at(f);
    let pair = turned(vec2f(normed[at.x], normed[at.y]), position, f);
    put(base + at.x, pair.x);
    put(base + at.y, pair.y);
  }
}
