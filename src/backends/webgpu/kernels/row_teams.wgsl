// TEAM lanes (a power of two) share a row, so that short rows leave few of a workgroup's lanes idle.
var<workgroup> partial: array<f32, GROUP>;

// What the lanes of a row have, added up (TEAM is a power of two). All lanes must call.
fn team_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  for (var half = TEAM / 2u; half > 0u; half = half / 2u) {
    workgroupBarrier();
    if (lane % TEAM < half) { partial[lane] += partial[lane + half]; }
  }
  workgroupBarrier();
  return partial[lane / TEAM * TEAM];
}
