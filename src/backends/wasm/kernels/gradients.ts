// Gradients of norms, activations, softmax and routing, the cross-entropy, and what optimisers do to
// every element. Each element or row of a result is computed by one thread, in one order.

import { Failure } from '../abi';
import { accumulate, dot, exp1, exp4, fma4, sigmoid4, splat, sum4 } from './math';
import { fail, float, int, pointer, rowHi, rowLo, unitHi, unitLo } from './record';

// @ts-ignore: decorator
@inline function at(base: usize, i: i32): usize { return base + (<usize>i << 2); }

/** The slope of an activation, times the gradient; `op`: 0 sigmoid, 1 silu, 2 gelu_tanh. */
// @ts-ignore: decorator
@inline function slope4(op: i32, x: v128, dy: v128): v128 {
  const one = splat(1);
  if (op == 2) {
    // x sigmoid(2u): its slope is s + x s (1 - s) 2u'.
    const square = f32x4.mul(x, x);
    const u = f32x4.mul(f32x4.add(x, f32x4.mul(f32x4.mul(square, x), splat(0.044715))), splat(1.5957691216057308));
    const s = sigmoid4(u), du = f32x4.mul(f32x4.add(one, f32x4.mul(square, splat(0.134145))), splat(1.5957691216057308));
    return f32x4.mul(dy, f32x4.add(s, f32x4.mul(f32x4.mul(f32x4.mul(x, s), f32x4.sub(one, s)), du)));
  }
  const s = sigmoid4(x);
  if (op == 1) return f32x4.mul(dy, f32x4.mul(s, f32x4.add(one, f32x4.mul(x, f32x4.sub(one, s)))));
  return f32x4.mul(dy, f32x4.mul(s, f32x4.sub(one, s)));
}

/** Numbers: elements, elements of a unit, which activation. Operands: x, dy, dx. */
export function activationGrad(): void {
  const lo = unitLo * int(1), hi = min(unitHi * int(1), int(0)), op = int(2);
  let i = lo;
  for (; i + 4 <= hi; i += 4) v128.store(at(pointer(2), i), slope4(op, v128.load(at(pointer(0), i)), v128.load(at(pointer(1), i))));
  for (; i < hi; i++) store<f32>(at(pointer(2), i), f32x4.extract_lane(slope4(op, v128.load32_splat(at(pointer(0), i)), v128.load32_splat(at(pointer(1), i))), 0));
}

/** Operands: x, dy, weight or none, dx, dw by rows. Numbers: columns, eps, offset, whether the mean is taken off (layer norm). */
export function normGrad(): void {
  const w = pointer(2), n = int(0), eps = float(1), offset = float(2), centred = int(3) != 0;
  for (let r = rowLo; r < rowHi; r++) {
    const x = at(pointer(0), r * n), dy = at(pointer(1), r * n), dx = at(pointer(3), r * n), dw = at(pointer(4), r * n);
    let mean: f32 = 0, squares: f32 = 0, sum: f32 = 0, pull: f32 = 0;
    if (centred) {
      for (let i = 0; i < n; i++) mean += load<f32>(at(x, i));
      mean /= <f32>n;
    }
    for (let i = 0; i < n; i++) {
      const v = load<f32>(at(x, i)) - mean, g = load<f32>(at(dy, i)) * (w ? load<f32>(at(w, i)) + offset : 1);
      squares += v * v;
      sum += g;
      pull += g * v;
    }
    const inverse: f32 = 1 / sqrt<f32>(squares / <f32>n + eps), back = pull * inverse * inverse * inverse / <f32>n, shift = centred ? sum / <f32>n * inverse : 0;
    for (let i = 0; i < n; i++) {
      const v = load<f32>(at(x, i)) - mean, g = load<f32>(at(dy, i));
      store<f32>(at(dx, i), g * (w ? load<f32>(at(w, i)) + offset : 1) * inverse - shift - v * back);
      store<f32>(at(dw, i), g * v * inverse);
    }
  }
}

/** Operands: y, dy, dx. Numbers: columns. */
export function softmaxGrad(): void {
  const n = int(0);
  for (let r = rowLo; r < rowHi; r++) {
    const y = at(pointer(0), r * n), dy = at(pointer(1), r * n), dx = at(pointer(2), r * n), mean = dot(y, dy, n);
    for (let i = 0; i < n; i++) store<f32>(at(dx, i), load<f32>(at(y, i)) * (load<f32>(at(dy, i)) - mean));
  }
}

/** Operands: x, dy, dx. Numbers: columns, epsilon. */
export function normalizeSumGrad(): void {
  const n = int(0);
  for (let r = rowLo; r < rowHi; r++) {
    const x = at(pointer(0), r * n), dy = at(pointer(1), r * n), dx = at(pointer(2), r * n);
    let sum = float(1);
    for (let i = 0; i < n; i++) sum += load<f32>(at(x, i));
    const pull = dot(x, dy, n) / sum / sum;
    for (let i = 0; i < n; i++) store<f32>(at(dx, i), load<f32>(at(dy, i)) / sum - pull);
  }
}

/** Sums over rows. Operands: x, out. Numbers: rows, columns, columns of a unit. */
export function sumTo(): void {
  const x = pointer(0), out = pointer(1), n = int(1), lo = unitLo * int(2), hi = min(unitHi * int(2), n);
  if (lo >= hi) return;
  memory.fill(at(out, lo), 0, <usize>(hi - lo) << 2);
  for (let r = 0; r < int(0); r++) accumulate(at(out, lo), at(x, r * n + lo), 1, hi - lo);
}

/** Rows added where indices say. Operands: x, indices, out. Numbers: rows of x, columns, columns of a unit, rows of out. */
export function addRows(): void {
  const x = pointer(0), out = pointer(2), n = int(1), lo = unitLo * int(2), hi = min(unitHi * int(2), n);
  if (lo >= hi) return;
  for (let r = 0; r < int(3); r++) memory.fill(at(out, r * n + lo), 0, <usize>(hi - lo) << 2);
  for (let t = 0; t < int(0); t++) {
    const index = load<i32>(at(pointer(1), t));
    if (index >= int(3)) fail(Failure.index, index, int(3));
    else if (index >= 0) accumulate(at(out, index * n + lo), at(x, t * n + lo), 1, hi - lo);
  }
}

/** Numbers added into wider rows. Operands: x, indices, out. Numbers: k, width. */
export function scatter(): void {
  const k = int(0), width = int(1);
  for (let r = rowLo; r < rowHi; r++) {
    memory.fill(at(pointer(2), r * width), 0, <usize>width << 2);
    for (let i = r * k; i < (r + 1) * k; i++) {
      const index = load<i32>(at(pointer(1), i));
      if (<u32>index >= <u32>width) { fail(Failure.index, index, width); continue; }
      const to = at(pointer(2), r * width + index);
      store<f32>(to, load<f32>(to) + load<f32>(at(pointer(0), i)));
    }
  }
}

/** Columns among zeros. Operands: x, out. Numbers: columns, start, width. */
export function pad(): void {
  const n = int(0), width = int(2);
  for (let r = rowLo; r < rowHi; r++) {
    memory.fill(at(pointer(1), r * width), 0, <usize>width << 2);
    memory.copy(at(pointer(1), r * width + int(1)), at(pointer(0), r * n), <usize>n << 2);
  }
}

/** Operands: y, w, dout, dy, dw. Numbers: k, columns. */
export function combineGrad(): void {
  const k = int(0), n = int(1);
  for (let t = rowLo; t < rowHi; t++) for (let c = t * k; c < (t + 1) * k; c++) {
    const dout = at(pointer(2), t * n), dy = at(pointer(3), c * n), weight = load<f32>(at(pointer(1), c));
    for (let i = 0; i < n; i++) store<f32>(at(dy, i), weight * load<f32>(at(dout, i)));
    store<f32>(at(pointer(4), c), dot(at(pointer(0), c * n), dout, n));
  }
}

/** Operands: dy, W, indices, dx. Numbers: k, outputs, inputs, experts, whether choices share a row. */
export function expertGradInput(): void {
  const k = int(0), O = int(1), I = int(2), shared = int(4) != 0;
  for (let t = rowLo; t < rowHi; t++) for (let c = t * k; c < (t + 1) * k; c++) {
    const to = at(pointer(3), (shared ? t : c) * I), expert = load<i32>(at(pointer(2), c));
    if (!shared || c == t * k) memory.fill(to, 0, <usize>I << 2);
    if (<u32>expert >= <u32>int(3)) { fail(Failure.expert, expert, int(3)); continue; }
    for (let o = 0; o < O; o++) accumulate(to, at(pointer(1), (expert * O + o) * I), load<f32>(at(pointer(0), c * O + o)), I);
  }
}

/** Operands: x, dy, indices, dW. Numbers: tokens, k, outputs, inputs, experts, whether choices have rows of their own, outputs of a unit. */
export function expertGradWeight(): void {
  const k = int(1), O = int(2), I = int(3), lo = unitLo * int(6), hi = min(unitHi * int(6), O);
  for (let e = 0; e < int(4); e++) memory.fill(at(pointer(3), (e * O + lo) * I), 0, <usize>(max(0, hi - lo) * I) << 2);
  for (let c = 0; c < int(0) * k; c++) {
    const expert = load<i32>(at(pointer(2), c)), x = at(pointer(0), (int(5) ? c : c / k) * I);
    if (<u32>expert >= <u32>int(4)) { fail(Failure.expert, expert, int(4)); continue; }
    for (let o = lo; o < hi; o++) accumulate(at(pointer(3), (expert * O + o) * I), x, load<f32>(at(pointer(1), c * O + o)), I);
  }
}

/** Operands: wide, narrow, dW; its rows are shared out. Numbers: tokens, heads, width, rows used, first row, rows of a head's block. */
export function headGrad(): void {
  const T = int(0), N = int(1), R = int(2), used = int(3), block = int(5);
  for (let row = rowLo; row < rowHi; row++) {
    const head = row / block, j = row % block - int(4), to = at(pointer(2), row * R);
    memory.fill(to, 0, <usize>R << 2);
    if (<u32>j >= <u32>used) continue;
    for (let t = 0; t < T; t++) accumulate(to, at(pointer(0), (t * N + head) * R), load<f32>(at(pointer(1), (t * N + head) * used + j)), R);
  }
}

// The sum and maximum that `exponentials` found.
let largest: f32 = 0;

function exponentials(x: usize, n: i32): f32 {
  largest = -Infinity;
  for (let i = 0; i < n; i++) largest = max<f32>(largest, load<f32>(at(x, i)));
  let s = splat(0), i = 0;
  const top = splat(largest);
  for (; i + 4 <= n; i += 4) s = f32x4.add(s, exp4(f32x4.sub(v128.load(at(x, i)), top)));
  let sum = sum4(s);
  for (; i < n; i++) sum += exp1(load<f32>(at(x, i)) - largest);
  return sum;
}

/** Each row's own loss. Operands: logits, targets, losses. Numbers: columns. */
export function crossEntropy(): void {
  const n = int(0);
  for (let r = rowLo; r < rowHi; r++) {
    const x = at(pointer(0), r * n), target = load<i32>(at(pointer(1), r));
    if (<u32>target >= <u32>n) { fail(Failure.index, target, n); continue; }
    const sum = exponentials(x, n);
    store<f32>(at(pointer(2), r), largest - load<f32>(at(x, target)) + <f32>Math.log(sum));
  }
}

/** Operands: logits, targets, gradient of the loss, dx. Numbers: columns, rows in all. */
export function crossEntropyGrad(): void {
  const n = int(0), factor = load<f32>(pointer(2)) / <f32>int(1);
  for (let r = rowLo; r < rowHi; r++) {
    const x = at(pointer(0), r * n), to = at(pointer(3), r * n), target = load<i32>(at(pointer(1), r));
    if (<u32>target >= <u32>n) { fail(Failure.index, target, n); continue; }
    const share = factor / exponentials(x, n), top = splat(largest), f = splat(share);
    let i = 0;
    for (; i + 4 <= n; i += 4) v128.store(at(to, i), f32x4.mul(exp4(f32x4.sub(v128.load(at(x, i)), top)), f));
    for (; i < n; i++) store<f32>(at(to, i), exp1(load<f32>(at(x, i)) - largest) * share);
    store<f32>(at(to, target), load<f32>(at(to, target)) - factor);
  }
}

/** Numbers: elements, 0 for their sum over the count or 1 for the sum of squares, place of the result. In float64, by one thread: a sum of millions. */
export function reduce(): void {
  const x = pointer(0), n = int(0);
  let sum: f64 = 0;
  if (int(1)) for (let i = 0; i < n; i++) { const v = <f64>load<f32>(at(x, i)); sum += v * v; }
  else for (let i = 0; i < n; i++) sum += <f64>load<f32>(at(x, i)) / <f64>n;
  store<f32>(at(pointer(1), int(2)), <f32>sum);
}

/**
 * Operands: parameter, mean, square, gradient, rates (learning rate, 1 / correction1, 1 / correction2),
 * clip. Numbers: elements, elements of a unit, beta1, 1 - beta1, beta2, 1 - beta2, epsilon, decay.
 */
export function adamw(): void {
  const lo = unitLo * int(1), hi = min(unitHi * int(1), int(0));
  if (load<f32>(pointer(5)) < 0) return;
  for (let i = lo; i < hi; i += 4) {
    // What is beyond the last whole vector goes one by one, through the same arithmetic.
    if (i + 4 <= hi) adamw4(i, v128.load(at(pointer(0), i)), v128.load(at(pointer(1), i)), v128.load(at(pointer(2), i)), v128.load(at(pointer(3), i)), true);
    else for (let j = i; j < hi; j++) adamw4(j, v128.load32_splat(at(pointer(0), j)), v128.load32_splat(at(pointer(1), j)), v128.load32_splat(at(pointer(2), j)), v128.load32_splat(at(pointer(3), j)), false);
  }
}

function adamw4(i: i32, weight: v128, mean: v128, square: v128, gradient: v128, whole: bool): void {
  const rates = pointer(4), rate = load<f32>(rates), slope = f32x4.mul(gradient, splat(load<f32>(pointer(5))));
  const m = fma4(f32x4.mul(mean, splat(float(2))), slope, splat(float(3)));
  const v = fma4(f32x4.mul(square, splat(float(4))), f32x4.mul(slope, slope), splat(float(5)));
  const update = f32x4.div(f32x4.mul(m, splat(load<f32>(rates, 4))), f32x4.add(f32x4.sqrt(f32x4.mul(v, splat(load<f32>(rates, 8)))), splat(float(6))));
  const w = f32x4.sub(f32x4.mul(weight, splat(1 - rate * float(7))), f32x4.mul(update, splat(rate)));
  if (whole) {
    v128.store(at(pointer(0), i), w); v128.store(at(pointer(1), i), m); v128.store(at(pointer(2), i), v);
  } else {
    v128.store32_lane(at(pointer(0), i), w, 0); v128.store32_lane(at(pointer(1), i), m, 0); v128.store32_lane(at(pointer(2), i), v, 0);
  }
}
