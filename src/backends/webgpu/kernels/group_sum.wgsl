// The sum over a workgroup of GROUP lanes, for every lane; all must call. Subgroups hold neighbouring
// lanes on every driver known.
//#if SUBGROUPS
enable subgroups;
//#endif
var<workgroup> group_parts: array<f32, GROUP / SUBGROUP>;

fn group_sum(value: f32, lane: u32) -> f32 {
  var mine = value;
//#if SUBGROUPS
  mine = subgroupAdd(mine);
//#endif
  workgroupBarrier();
  if (lane % SUBGROUP == 0u) { group_parts[lane / SUBGROUP] = mine; }
  workgroupBarrier();
  var sum = 0.0;
  for (var i = 0u; i < GROUP / SUBGROUP; i++) { sum += group_parts[i]; }
  return sum;
}
