// The slope of an activation, times the gradient: SLOPE 0 sigmoid, 1 silu, 2 gelu_tanh.
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> dx: array<Number>;
@group(0) @binding(2) var<storage, read> x: array<Number>;
@group(0) @binding(3) var<storage, read> dy: array<Number>;
//#include grid
//#include activations

fn slope(x: Number) -> Number {
  if (SLOPE == 2u) {
    // x times the logistic function of 2u (see activations): s + x s (1 - s) 2u'.
    let s = sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x));
    return s + x * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * x * x);
  }
  let s = sigmoid(x);
  if (SLOPE == 1u) { return s * (1.0 + x * (1.0 - s)); }
  return s * (1.0 - s);
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = element_index(group, groups, lane);
  if (i >= p.count) { return; }
  dx[i] = slope(x[i]) * dy[i];
}
