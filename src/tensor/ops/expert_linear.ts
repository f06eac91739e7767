// expert_linear: x through the matrices of the chosen experts. W [E, O, I], indices [T, k];
// x [T, I] (the same row for every choice) or [T, k, I]; y [T, k, O].
// Only the chosen experts' rows are read. combine: sum over the choices, weighted [T, k].

import { byteLength, elementCount } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf, elementwiseCost } from './cost.js';

defineOp({
  name: 'expert_linear',
  infer(inputs) {
    const [x, w, indices] = inputs;
    const [T, k] = indices.shape;
    const fits = x.shape[0] === T && x.shape.at(-1) === w.shape[2] && (x.shape.length === 2 || x.shape[1] === k);
    if (w.shape.length !== 3 || !fits) shapeError('expert_linear', inputs, 'expected x [T, I] or [T, k, I], W [E, O, I], indices [T, k]');
    return [{ shape: [T, k, w.shape[1]], dtype: 'f32' }];
  },
  reference([x, w, indices], [y]) {
    const [T, k] = indices.spec.shape;
    const [, O, I] = w.spec.shape;
    const [from, to, at] = [x.f32, y.f32, indices.i32];
    const perChoice = x.spec.shape.length === 3;
    const scratch = new Float32Array(I);
    for (let c = 0; c < T * k; c++) {
      const base = (perChoice ? c : Math.floor(c / k)) * I;
      for (let o = 0; o < O; o++) {
        const row = w.row(at[c] * O + o, scratch);
        let sum = 0;
        for (let i = 0; i < I; i++) sum += from[base + i] * row[i];
        to[c * O + o] = sum;
      }
    }
  },
  saves: { inputs: [0, 1, 2] },
  vjp(saved, [dy]) {
    if (!dy) return [];
    const [x, w, indices] = [saved.input(0), saved.input(1), saved.input(2)];
    return [
      saved.needs(0) ? apply('expert_linear_grad_input', [dy, w, indices], { shared: x.shape.length === 2 })[0] : null,
      saved.needs(1) ? apply('expert_linear_grad_weight', [x, dy, indices], { experts: w.shape[0] })[0] : null,
      null,
    ];
  },
  cost(inputs) {
    const [x, w, indices] = inputs;
    const choices = elementCount(indices.shape);
    const perExpert = byteLength(w) / w.shape[0];
    return {
      flops: 2 * choices * w.shape[1] * w.shape[2],
      bytesRead: Math.min(choices, w.shape[0]) * perExpert + bytesOf([x, indices]),
      bytesWritten: choices * w.shape[1] * 4,
    };
  },
});

defineOp<{ shared: boolean }>({
  name: 'expert_linear_grad_input',
  infer: ([dy, w], { shared }) => [{ shape: shared ? [dy.shape[0], w.shape[2]] : [dy.shape[0], dy.shape[1], w.shape[2]], dtype: 'f32' }],
  reference([dy, w, indices], [dx], { shared }) {
    const [, k, O] = dy.spec.shape;
    const I = w.spec.shape[2];
    const [grad, at] = [dy.f32, indices.i32];
    const sums = new Float64Array(dx.f32.length);
    const scratch = new Float32Array(I);
    for (let c = 0; c < at.length; c++) {
      const base = (shared ? Math.floor(c / k) : c) * I;
      for (let o = 0; o < O; o++) {
        const row = w.row(at[c] * O + o, scratch);
        for (let i = 0; i < I; i++) sums[base + i] += grad[c * O + o] * row[i];
      }
    }
    dx.f32.set(sums);
  },
  cost: ([dy, w, indices]) => ({ flops: 2 * elementCount(dy.shape) * w.shape[2], bytesRead: bytesOf([dy, w, indices]), bytesWritten: elementCount(indices.shape) * w.shape[2] * 4 }),
});

defineOp<{ experts: number }>({
  name: 'expert_linear_grad_weight',
  infer: ([x, dy], { experts }) => [{ shape: [experts, dy.shape[2], x.shape.at(-1) ?? 1], dtype: 'f32' }],
  reference([x, dy, indices], [dw]) {
    const [, k, O] = dy.spec.shape;
    const I = x.rowLength;
    const perChoice = x.spec.shape.length === 3;
    const [from, grad, at] = [x.f32, dy.f32, indices.i32];
    const sums = new Float64Array(dw.f32.length);
    for (let c = 0; c < at.length; c++) {
      const base = (perChoice ? c : Math.floor(c / k)) * I;
      for (let o = 0; o < O; o++) for (let i = 0; i < I; i++) sums[(at[c] * O + o) * I + i] += grad[c * O + o] * from[base + i];
    }
    dw.f32.set(sums);
  },
  cost: ([x, dy, indices], { experts }) => ({ flops: 2 * elementCount(dy.shape) * (x.shape.at(-1) ?? 1), bytesRead: bytesOf([x, dy, indices]), bytesWritten: experts * dy.shape[2] * (x.shape.at(-1) ?? 1) * 4 }),
});

defineOp({
  name: 'combine',
  infer(inputs) {
    const [y, w] = inputs;
    if (y.shape.length !== 3 || w.shape[0] !== y.shape[0] || w.shape[1] !== y.shape[1]) shapeError('combine', inputs, 'expected y [T, k, D] and weights [T, k]');
    return [{ shape: [y.shape[0], y.shape[2]], dtype: 'f32' }];
  },
  reference([y, w], [out]) {
    const [T, k, D] = y.spec.shape;
    const [from, weight, to] = [y.f32, w.f32, out.f32];
    for (let t = 0; t < T; t++) for (let d = 0; d < D; d++) {
      let sum = 0;
      for (let c = 0; c < k; c++) sum += weight[t * k + c] * from[(t * k + c) * D + d];
      to[t * D + d] = sum;
    }
  },
  saves: { inputs: [0, 1] },
  vjp: (saved, [dy]) => dy ? apply('combine_grad', [saved.input(0), saved.input(1), dy]) : [],
  cost: (inputs) => elementwiseCost(inputs, [{ shape: [inputs[0].shape[0], inputs[0].shape[2]], dtype: 'f32' }], 2 * inputs[0].shape[1]),
});

defineOp({
  name: 'combine_grad',
  infer: ([y, w]) => [{ shape: y.shape, dtype: 'f32' }, { shape: w.shape, dtype: 'f32' }],
  reference([y, w, dout], [dy, dw]) {
    const [T, k, D] = y.spec.shape;
    const [from, weight, grad, to, toW] = [y.f32, w.f32, dout.f32, dy.f32, dw.f32];
    for (let c = 0; c < T * k; c++) {
      const t = Math.floor(c / k);
      let dot = 0;
      for (let d = 0; d < D; d++) {
        to[c * D + d] = weight[c] * grad[t * D + d];
        dot += from[c * D + d] * grad[t * D + d];
      }
      toW[c] = dot;
    }
  },
  cost: (inputs) => elementwiseCost(inputs, inputs.slice(0, 2), 3),
});

export function expertLinear(x: Tensor, w: Tensor, indices: Tensor): Tensor {
  return apply('expert_linear', [x, w, indices])[0];
}

/** Sum over the k choices of weights [T, k] times y [T, k, D]. */
export function combine(y: Tensor, weights: Tensor): Tensor {
  return apply('combine', [y, weights])[0];
}
