// Newton-Schulz iteration (Jordan et al., github.com/KellerJordan/Muon): pushes all singular values of
// a matrix towards one, so that U S V^T becomes about U V^T. In float32 and in ops, on any backend.

import { batchedMatmul, reshape, rmsNorm, scale } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';

const [A, B, C] = [3.4445, -4.775, 2.0315];
/** Beside the norm that the matrix is divided by. */
const EPSILON = 1e-7;

/** The nearest semi-orthogonal matrix, roughly: x [rows, columns], or each of x [count, rows, columns] by itself. */
export function orthogonalized(x: Tensor, steps = 5): Tensor {
  const stack = normalized(x.shape.length === 2 ? reshape(x, [1, ...x.shape]) : x);
  return reshape(iterated(stack, steps), x.shape);
}

/** Each matrix divided by its Frobenius norm. */
function normalized(x: Tensor): Tensor {
  const [count, rows, columns] = x.shape;
  const size = rows * columns;
  return reshape(scale(rmsNorm(reshape(x, [count, size]), undefined, { eps: EPSILON ** 2 / size, offset: 0 }), size ** -0.5), x.shape);
}

/** X becomes a X + (b S + c S S) X with S = X X^T; with X^T X on the other side where that is smaller. */
function iterated(x: Tensor, steps: number): Tensor {
  const tall = x.shape[1] > x.shape[2];
  for (let i = 0; i < steps; i++) {
    const square = tall ? batchedMatmul(x, x, { transposeA: true }) : batchedMatmul(x, x, { transposeB: true });
    const polynomial = batchedMatmul(square, square, { alpha: C, addend: square, beta: B });
    x = tall ? batchedMatmul(x, polynomial, { addend: x, beta: A }) : batchedMatmul(polynomial, x, { addend: x, beta: A });
  }
  return x;
}
