// clip_scale: the factor that brings the norm of gradients, given by sums of squares, down to a limit;
// -1 where it or the loss is not finite. One workgroup.
struct Params { count: u32, limit: f32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@group(0) @binding(2) var<storage, read> squares: array<f32>;
@group(0) @binding(3) var<storage, read> loss: array<f32>;
//#include reduce

// By its bits: compilers may take it that nothing is infinite.
fn finite(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u; }

@compute @workgroup_size(GROUP)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < p.count; i += GROUP) { sum += squares[i]; }
  let norm = sqrt(reduce_sum(sum, lane));
  if (lane > 0u) { return; }
  if (!finite(norm) || !finite(loss[0])) { out[0] = -1.0; return; }
  out[0] = select(1.0, p.limit / norm, norm > p.limit);
}
