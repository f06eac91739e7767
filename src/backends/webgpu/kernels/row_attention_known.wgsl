// What both gradients of row attention need of each token and head, [T, N]: the log of its sum of
// e^score, the mean of its weights' gradients (which is out . dout), and the first row that it sees.
struct Params { count: u32, heads: u32, value: u32, window: u32, chunk: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> known: array<vec4f>;
@group(0) @binding(2) var<storage, read> positions: array<i32>;
@group(0) @binding(3) var<storage, read> starts: array<i32>;
@group(0) @binding(4) var<storage, read> out: array<Number>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read> dout: array<Number>;
//#include grid
//#include number
//#include row_visible

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  var mean = 0.0;
  for (var c = i * p.value; c < (i + 1u) * p.value; c++) {
//#if FOURS
    mean += dot(out[c], dout[c]);
//#else
    mean += out[c] * dout[c];
//#endif
  }
  // Row numbers are whole in float32 up to 2^24.
  known[i] = vec4f(lse[i], mean, f32(lowest(i / p.heads)), 0.0);
}
