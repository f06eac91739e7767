// As sum_parts of three products, each with an output of its own.
struct Params { counts: vec3u, parts: vec3u }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
//#copies parts_sum
@group(0) @binding(5) var<storage, read_write> out_b: array<f32>;
@group(0) @binding(6) var<storage, read_write> out_c: array<f32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  var i = element_index(group, groups, lane);
  if (i < p.counts.x) { out[i] = sum_at_0(i, p.counts.x, p.parts.x); return; }
  i -= p.counts.x;
  if (i < p.counts.y) { out_b[i] = sum_at_1(i, p.counts.y, p.parts.y); return; }
  i -= p.counts.y;
  if (i < p.counts.z) { out_c[i] = sum_at_2(i, p.counts.z, p.parts.z); }
}
