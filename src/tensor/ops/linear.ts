// linear: y = x W^T (+ b), x [..., I], W [O, I] in any storage format, b [O], y [..., O].
// matmul: the plain float32 product its gradients need.

import { elementCount } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply, reshape } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf } from './cost.js';
import { sumTo } from './sum_to.js';

defineOp({
  name: 'linear',
  infer(inputs) {
    const [x, w, b] = inputs;
    if (w.shape.length !== 2 || x.shape.at(-1) !== w.shape[1]) shapeError('linear', inputs, 'the last axis of x must equal the last axis of a matrix W');
    if (b && (b.shape.length !== 1 || b.shape[0] !== w.shape[0])) shapeError('linear', inputs, 'the bias must have one number per row of W');
    return [{ shape: [...x.shape.slice(0, -1), w.shape[0]], dtype: 'f32' }];
  },
  reference([x, w, b], [y]) {
    const [O, I] = w.spec.shape;
    const [from, to, bias] = [x.f32, y.f32, b?.f32];
    const scratch = new Float32Array(I);
    for (let o = 0; o < O; o++) {
      const row = w.row(o, scratch);
      for (let t = 0; t < x.rowCount; t++) {
        let sum = bias ? bias[o] : 0;
        for (let i = 0, at = t * I; i < I; i++, at++) sum += from[at] * row[i];
        to[t * O + o] = sum;
      }
    }
  },
  saves: { inputs: [0, 1] },
  vjp(saved, [dy]) {
    if (!dy) return [];
    const [x, w] = [saved.input(0), saved.input(1)];
    const dyRows = matrix(dy);
    return [
      saved.needs(0) ? reshape(matmul(dyRows, w), x.shape) : null,
      saved.needs(1) ? matmul(dyRows, matrix(x), { transposeA: true }) : null,
      saved.inputSpecs.length > 2 && saved.needs(2) ? sumTo(dyRows, saved.inputSpecs[2].shape) : null,
    ];
  },
  cost(inputs) {
    const [x, w] = inputs;
    const rows = elementCount(x.shape.slice(0, -1));
    return { flops: 2 * rows * elementCount(w.shape), bytesRead: bytesOf(inputs), bytesWritten: rows * w.shape[0] * 4 };
  },
});

defineOp<{ transposeA: boolean }>({
  name: 'matmul',
  infer(inputs, { transposeA }) {
    const [a, b] = inputs;
    const [m, k] = transposeA ? [a.shape[1], a.shape[0]] : a.shape;
    if (a.shape.length !== 2 || b.shape.length !== 2 || k !== b.shape[0]) shapeError('matmul', inputs, 'inner extents must be equal');
    return [{ shape: [m, b.shape[1]], dtype: 'f32' }];
  },
  reference([a, b], [out], { transposeA }) {
    const [K, N] = b.spec.shape;
    const M = out.spec.shape[0];
    const [x, y] = [a.f32, out.f32];
    const sums = new Float64Array(M * N);
    const scratch = new Float32Array(N);
    for (let k = 0; k < K; k++) {
      const row = b.row(k, scratch);
      for (let m = 0; m < M; m++) {
        const factor = transposeA ? x[k * M + m] : x[m * K + k];
        for (let n = 0; n < N; n++) sums[m * N + n] += factor * row[n];
      }
    }
    y.set(sums);
  },
  cost(inputs, { transposeA }) {
    const [a, b] = inputs;
    const m = transposeA ? a.shape[1] : a.shape[0];
    return { flops: 2 * m * elementCount(b.shape), bytesRead: bytesOf(inputs), bytesWritten: m * b.shape[1] * 4 };
  },
});

/** x seen as a matrix of rows. */
export function matrix(x: Tensor): Tensor {
  const columns = x.shape.at(-1) ?? 1;
  return reshape(x, [elementCount(x.shape) / columns, columns]);
}

/** y = x W^T (+ b). */
export function linear(x: Tensor, w: Tensor, b?: Tensor): Tensor {
  return apply('linear', b ? [x, w, b] : [x, w])[0];
}

/** A B, or A^T B. */
export function matmul(a: Tensor, b: Tensor, { transposeA = false } = {}): Tensor {
  return apply('matmul', [a, b], { transposeA })[0];
}
