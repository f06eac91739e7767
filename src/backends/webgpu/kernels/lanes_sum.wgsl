// The sum over `lanes` neighbours, a power of two that a subgroup holds, for all of them; all lanes must call.
//#if SUBGROUPS
enable subgroups;
fn lanes_sum(lanes: u32, value: f32, lane: u32) -> f32 {
  var sum = value;
  for (var apart = lanes / 2u; apart > 0u; apart /= 2u) { sum += subgroupShuffleXor(sum, apart); }
  return sum;
}
//#else
var<workgroup> addends: array<f32, GROUP>;
fn lanes_sum(lanes: u32, value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  addends[lane] = value;
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < lanes; i++) { sum += addends[lane / lanes * lanes + i]; }
  return sum;
}
//#endif
