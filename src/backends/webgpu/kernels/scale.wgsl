// scale: x times a constant.
struct Params { count: u32, factor: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<Number>;
@group(0) @binding(2) var<storage, read> x: array<Number>;
//#include grid
//#include number

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  out[i] = x[i] * p.factor;
}
