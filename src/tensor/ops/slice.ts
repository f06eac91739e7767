// slice: columns [start, start + length) of the last axis, copied. pad: its gradient.
// concat: joins along the last axis. Copies on purpose: a tensor is always contiguous, so no
// kernel carries strides; a fast backend may read through a slice when it records a plan.

import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

defineOp<{ start: number; length: number }>({
  name: 'slice',
  infer(inputs, { start, length }) {
    const [x] = inputs;
    if (start < 0 || length < 1 || start + length > (x.shape.at(-1) ?? 0)) shapeError('slice', inputs, `columns ${start} to ${start + length} must lie in the last axis`);
    return [{ shape: [...x.shape.slice(0, -1), length], dtype: 'f32' }];
  },
  reference([x], [out], { start, length }) {
    const [n, from, to] = [x.rowLength, x.f32, out.f32];
    for (let r = 0; r < x.rowCount; r++) to.set(from.subarray(r * n + start, r * n + start + length), r * length);
  },
  vjp: (saved, [dy], { start }) => [dy && apply('pad', [dy], { start, width: saved.inputSpecs[0].shape.at(-1) })[0]],
  cost: (inputs, { length }) => elementwiseCost([], [{ shape: [...inputs[0].shape.slice(0, -1), length * 2], dtype: 'f32' }], 0),
});

defineOp<{ start: number; width: number }>({
  name: 'pad',
  infer: ([x], { width }) => [{ shape: [...x.shape.slice(0, -1), width], dtype: 'f32' }],
  reference([x], [out], { start, width }) {
    const [n, from, to] = [x.rowLength, x.f32, out.f32];
    to.fill(0);
    for (let r = 0; r < x.rowCount; r++) to.set(from.subarray(r * n, (r + 1) * n), r * width + start);
  },
  cost: (inputs, { width }) => elementwiseCost(inputs, [{ shape: [...inputs[0].shape.slice(0, -1), width], dtype: 'f32' }], 0),
});

defineOp({
  name: 'concat',
  infer(inputs) {
    const [a, b] = inputs;
    if (!sameShape(a.shape.slice(0, -1), b.shape.slice(0, -1))) shapeError('concat', inputs, 'all axes but the last must be equal');
    return [{ shape: [...a.shape.slice(0, -1), (a.shape.at(-1) ?? 0) + (b.shape.at(-1) ?? 0)], dtype: 'f32' }];
  },
  reference([a, b], [out]) {
    const [n, m, to] = [a.rowLength, b.rowLength, out.f32];
    for (let r = 0; r < a.rowCount; r++) {
      to.set(a.f32.subarray(r * n, (r + 1) * n), r * (n + m));
      to.set(b.f32.subarray(r * m, (r + 1) * m), r * (n + m) + n);
    }
  },
  vjp(saved, [dy]) {
    const [n, m] = saved.inputSpecs.map((spec) => spec.shape.at(-1) ?? 0);
    return dy ? [slice(dy, 0, n), slice(dy, n, m)] : [null, null];
  },
  cost: (inputs) => elementwiseCost(inputs, inputs, 0),
});

export function slice(x: Tensor, start: number, length: number): Tensor {
  return apply('slice', [x], { start, length })[0];
}

/** Splits the last axis into parts of the given lengths. */
export function split(x: Tensor, lengths: readonly number[]): Tensor[] {
  let start = 0;
  return lengths.map((length) => slice(x, (start += length) - length, length));
}

/** Joins two tensors along the last axis. */
export function concat(a: Tensor, b: Tensor): Tensor {
  return apply('concat', [a, b])[0];
}
