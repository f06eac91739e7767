// The sum, or the largest, over a workgroup of GROUP lanes, for every lane; all must call. Subgroups hold
// neighbouring lanes on every driver known.
//#include subgroup_sums
var<workgroup> group_parts: array<f32, GROUP / SUBGROUP>;

fn share_parts(mine: f32, lane: u32) {
  workgroupBarrier();
  if (lane % SUBGROUP == 0u) { group_parts[lane / SUBGROUP] = mine; }
  workgroupBarrier();
}

fn group_sum(value: f32, lane: u32) -> f32 {
  share_parts(subgroup_sum(value), lane);
  var sum = 0.0;
  for (var i = 0u; i < GROUP / SUBGROUP; i++) { sum += group_parts[i]; }
  return sum;
}

fn group_max(value: f32, lane: u32) -> f32 {
  share_parts(subgroup_max(value), lane);
  var largest = group_parts[0];
  for (var i = 1u; i < GROUP / SUBGROUP; i++) { largest = max(largest, group_parts[i]); }
  return largest;
}
