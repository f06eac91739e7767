// Pointwise activations. Arguments of exp are clamped: where it overflows, WGSL leaves the result
// open, and drivers have answered NaN.
//#include number

fn sigmoid(x: Number) -> Number { return 1.0 / (1.0 + exp(clamp(-x, Number(-80.0), Number(80.0)))); }
fn silu(x: Number) -> Number { return x * sigmoid(x); }
fn gelu_tanh(x: Number) -> Number {
  let u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
  // 0.5 (1 + tanh(u)) is the logistic function of 2u.
  return x * sigmoid(2.0 * u);
}
