// silu_mul: silu(gate) * up.
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Number>;
@group(0) @binding(2) var<storage, read> gate: array<Number>;
@group(0) @binding(3) var<storage, read> up: array<Number>;
//#include grid
//#include activations

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  out[i] = silu(gate[i]) * up[i];
}
