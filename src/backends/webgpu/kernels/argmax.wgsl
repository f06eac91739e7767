// The best of a workgroup's candidates: the largest value, the lowest index among equals.
struct Candidate { value: f32, index: u32 }
const LOWEST: f32 = -3.4028234e38;
var<workgroup> candidates: array<Candidate, GROUP>;

fn better(a: Candidate, b: Candidate) -> Candidate {
  if (b.value > a.value || (b.value == a.value && b.index < a.index)) { return b; }
  return a;
}

// Every lane gets the result; all lanes must call.
fn reduce_best(mine: Candidate, lane: u32) -> Candidate {
  workgroupBarrier();
  candidates[lane] = mine;
  for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
    workgroupBarrier();
    if (lane < half) { candidates[lane] = better(candidates[lane], candidates[lane + half]); }
  }
  workgroupBarrier();
  return candidates[0];
}
