// Reductions over a workgroup of GROUP lanes (a power of two), in a fixed order: results are
// reproducible. Every lane gets the result; all lanes must call.
var<workgroup> partial: array<f32, GROUP>;

fn reduce_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] += partial[lane + half]; }
  }
  workgroupBarrier();
  return partial[0];
}

fn reduce_max(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  partial[lane] = value;
  for (var half = GROUP / 2u; half > 0u; half = half / 2u) {
    workgroupBarrier();
    if (lane < half) { partial[lane] = max(partial[lane], partial[lane + half]); }
  }
  workgroupBarrier();
  return partial[0];
}
