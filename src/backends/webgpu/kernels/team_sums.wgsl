// Teams of LANES lanes (a power of two) add up what each of theirs has; the first lane of a team gets the
// sums. All lanes must call. Subgroups hold neighbouring lanes on every driver known.
//#if SUBGROUPS
enable subgroups;
//#endif
const TEAMS: u32 = GROUP / LANES;
var<workgroup> partial: array<array<f32, GROUP>, EACH * TOKENS>;

fn team_sums(mine: array<f32, EACH * TOKENS>, lane: u32) -> array<f32, EACH * TOKENS> {
  var sums = mine;
//#if SUBGROUPS
  for (var i = 0u; i < EACH * TOKENS; i++) { sums[i] = subgroupAdd(sums[i]); }
//#endif
  // Lanes of a subgroup hold the same sums already.
  if (LANES == SUBGROUP) { return sums; }
  workgroupBarrier();
  for (var i = 0u; i < EACH * TOKENS; i++) { partial[i][lane] = sums[i]; }
  for (var half = LANES / 2u; half >= SUBGROUP; half /= 2u) {
    workgroupBarrier();
    if (lane % LANES < half) {
      for (var i = 0u; i < EACH * TOKENS; i++) { partial[i][lane] += partial[i][lane + half]; }
    }
  }
  for (var i = 0u; i < EACH * TOKENS; i++) { sums[i] = partial[i][lane]; }
  return sums;
}
