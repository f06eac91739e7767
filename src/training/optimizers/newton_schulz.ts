// Newton-Schulz iteration (Jordan et al., github.com/KellerJordan/Muon): pushes all singular values of
// a matrix towards one, so that U S V^T becomes about U V^T. In float32 and in ops, on any backend.

import { add, concat, linear, matmul, reshape, rmsNorm, scale, takeRows, fromArray } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';

const [A, B, C] = [3.4445, -4.775, 2.0315];
/** Beside the norm that the matrix is divided by. */
const EPSILON = 1e-7;

/** The nearest semi-orthogonal matrix, roughly: x [rows, columns], or each of x [count, rows, columns] by itself. */
export function orthogonalized(x: Tensor, steps = 5): Tensor {
  const unit = normalized(x);
  if (x.shape.length === 2) return iterated(unit, steps);
  const [count, rows, columns] = x.shape;
  const flat = reshape(unit, [count, rows * columns]);
  const index = (i: number) => fromArray(x.device, [1], Int32Array.of(i));
  const parts = Array.from({ length: count }, (_, i) => reshape(iterated(reshape(takeRows(flat, index(i)), [rows, columns]), steps), [1, rows * columns]));
  return reshape(joined(parts), x.shape);
}

/** Each matrix divided by its Frobenius norm. */
function normalized(x: Tensor): Tensor {
  const size = x.shape.slice(-2).reduce((a, b) => a * b, 1);
  const flat = reshape(x, [x.shape.length === 2 ? 1 : x.shape[0], size]);
  return reshape(scale(rmsNorm(flat, undefined, { eps: EPSILON ** 2 / size, offset: 0 }), size ** -0.5), x.shape);
}

/** X becomes a X + (b S + c S S) X with S = X X^T; with X^T X on the other side where that is smaller. */
function iterated(x: Tensor, steps: number): Tensor {
  const tall = x.shape[0] > x.shape[1];
  for (let i = 0; i < steps; i++) {
    const square = tall ? matmul(x, x, { transposeA: true }) : linear(x, x);
    const polynomial = add(scale(square, B), scale(matmul(square, square), C));
    x = add(scale(x, A), tall ? matmul(x, polynomial) : matmul(polynomial, x));
  }
  return x;
}

/** Rows [1, n] end to end, halving the list so that each is copied few times. */
function joined(parts: readonly Tensor[]): Tensor {
  if (parts.length === 1) return parts[0];
  const half = parts.length >> 1;
  return concat(joined(parts.slice(0, half)), joined(parts.slice(half)));
}
