// 1 for every lane whose subgroup is what kernels take it for: SUBGROUP neighbours in the order of their
// indices, whose sum and whose exchange of numbers are right; 0 for others.
enable subgroups;
struct Params { lanes: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(GROUP)
fn main(
  @builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_size) size: u32, @builtin(subgroup_invocation_id) place: u32,
) {
  let first = lane / SUBGROUP * SUBGROUP;
  let sum = subgroupAdd(lane);
  let next = subgroupShuffleXor(lane, 1u);
  let holds = size == SUBGROUP && place == lane % SUBGROUP && next == (lane ^ 1u) && sum == SUBGROUP * first + SUBGROUP * (SUBGROUP - 1u) / 2u;
  let i = group.x * GROUP + lane;
  if (i < p.lanes) { out[i] = select(0.0, 1.0, holds); }
}
