// How many workgroups of GROUP lanes run at the same time: each counts itself while the count is open, and
// waits. The first that has waited long enough closes it, so that none counted was gone before the last came
// (after Sorensen et al., "Portable inter-workgroup barrier synchronisation for GPUs", OOPSLA 2016). Lanes hold
// as many numbers as they have registers, so that of a kernel that holds fewer no less will run.
struct Params { looks: u32, unused: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> count: array<f32>;
// The workgroups counted, whether the count is closed, and numbers to hold.
@group(0) @binding(2) var<storage, read_write> state: array<atomic<u32>>;
const HELD: u32 = 64u;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  var held = array<u32, HELD>();
  for (var i = 0u; i < HELD; i++) { held[i] = atomicLoad(&state[2u + i]); }
  if (lane == 0u && atomicLoad(&state[1]) == 0u) { atomicAdd(&state[0], 1u); }
  workgroupBarrier();
  var looks = 0u;
  while (looks < p.looks && atomicLoad(&state[1]) == 0u) { looks++; }
  workgroupBarrier();
  if (lane == 0u) { atomicStore(&state[1], 1u); }
  var sum = 0u;
  for (var i = 0u; i < HELD; i++) { sum = sum * 3u + held[i]; }
  // The numbers are zeros: what they add up to is of use to nobody but the compiler.
  if (lane == 0u) { count[group.x] = f32(atomicLoad(&state[0]) + sum); }
}
