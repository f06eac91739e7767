// As sum_parts of two products: silu of one sum times the other.
struct Params { count: u32, gate_parts: u32, up_parts: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
//#copies parts_sum
//#include activations
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i < p.count) { out[i] = silu(sum_at_0(i, p.count, p.gate_parts)) * sum_at_1(i, p.count, p.up_parts); }
}
