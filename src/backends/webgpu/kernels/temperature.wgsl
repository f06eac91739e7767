// temperature: each token's numbers times ln(floor((position + 1) / floor_scale) + 1) * strength + 1.
struct Params { count: u32, per_token: u32, floor_scale: f32, strength: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> positions: array<i32>;
//#include grid

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  let position = f32(positions[i / p.per_token] + 1);
  out[i] = x[i] * (log(floor(position / p.floor_scale) + 1.0) * p.strength + 1.0);
}
