// batched_matmul: alpha A B (+ beta D) for each of a batch of matrices, float32. A [B, M, K] or, with
// transposeA, [B, K, M]; B [B, K, N] or, with transposeB, [B, N, K]; D and the result [B, M, N].

import { elementCount } from '../dtype.js';
import type { Spec } from '../dtype.js';
import { defineOp, sameShape, shapeError } from '../op.js';
import { apply, fromArray, reshape } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { add } from './add.js';
import { bytesOf } from './cost.js';
import { linear, matmul } from './linear.js';
import { scale } from './scale.js';
import { concat } from './slice.js';
import { takeRows } from './take_rows.js';

export interface BatchedMatmulAttrs { transposeA: boolean; transposeB: boolean; alpha: number; beta: number }

/** [batch, rows, columns] as they are multiplied. */
const seen = ({ shape: [batch, rows, columns] }: Spec, transposed: boolean): number[] => (transposed ? [batch, columns, rows] : [batch, rows, columns]);

defineOp<BatchedMatmulAttrs>({
  name: 'batched_matmul',
  infer(inputs, { transposeA, transposeB }) {
    const [a, b] = [seen(inputs[0], transposeA), seen(inputs[1], transposeB)];
    const shape = [a[0], a[1], b[2]];
    const fits = inputs.every((each) => each.shape.length === 3 && each.dtype === 'f32') && a[0] === b[0] && a[2] === b[1];
    if (!fits || (inputs[2] && !sameShape(inputs[2].shape, shape))) shapeError('batched_matmul', inputs, 'batches and inner extents must be equal');
    return [{ shape, dtype: 'f32' }];
  },
  reference([a, b, d], [out], { transposeA, transposeB, alpha, beta }) {
    const [B, M, N] = out.spec.shape;
    const K = seen(a.spec, transposeA)[2];
    const [x, y, z, to] = [a.f32, b.f32, d?.f32, out.f32];
    const sums = new Float64Array(N);
    for (let i = 0; i < B; i++) for (let m = 0; m < M; m++) {
      sums.fill(0);
      for (let k = 0; k < K; k++) {
        const factor = x[i * M * K + (transposeA ? k * M + m : m * K + k)];
        const [first, step] = transposeB ? [i * K * N + k, K] : [(i * K + k) * N, 1];
        for (let n = 0, from = first; n < N; n++, from += step) sums[n] += factor * y[from];
      }
      const at = (i * M + m) * N;
      for (let n = 0; n < N; n++) to[at + n] = alpha * sums[n] + (z ? beta * z[at + n] : 0);
    }
  },
  compose([a, b, d], attrs) {
    const batch = a.shape[0];
    if (batch === 1) return [reshape(plain(single(a), single(b), d && single(d), attrs), [1, ...plainShape(a, b, attrs)])];
    const results = Array.from({ length: batch }, (_, i) => plain(member(a, i), member(b, i), d && member(d, i), attrs));
    return [reshape(joined(results.map((x) => reshape(x, [1, elementCount(x.shape)]))), [batch, ...results[0].shape])];
  },
  cost(inputs, { transposeA, transposeB }) {
    const [batch, m, k] = seen(inputs[0], transposeA);
    const n = seen(inputs[1], transposeB)[2];
    return { flops: 2 * batch * m * n * k, bytesRead: bytesOf(inputs), bytesWritten: batch * m * n * 4 };
  },
});

const single = (x: Tensor): Tensor => reshape(x, x.shape.slice(1));
const plainShape = (a: Tensor, b: Tensor, { transposeA, transposeB }: BatchedMatmulAttrs): number[] => [seen(a.spec, transposeA)[1], seen(b.spec, transposeB)[2]];

/** Matrix i of a batch. */
function member(x: Tensor, i: number): Tensor {
  const [batch, rows, columns] = x.shape;
  return reshape(takeRows(reshape(x, [batch, rows * columns]), fromArray(x.device, [1], Int32Array.of(i))), [rows, columns]);
}

function plain(a: Tensor, b: Tensor, d: Tensor | undefined, { transposeA, transposeB, alpha, beta }: BatchedMatmulAttrs): Tensor {
  if (transposeA && transposeB) throw new TypeError('batched_matmul: A^T B^T is not composed of smaller products');
  const product = transposeB ? linear(a, b) : matmul(a, b, { transposeA });
  const scaled = alpha === 1 ? product : scale(product, alpha);
  return d ? add(scale(d, beta), scaled) : scaled;
}

/** Rows [1, n] end to end, halving the list so that each is copied few times. */
function joined(parts: readonly Tensor[]): Tensor {
  if (parts.length === 1) return parts[0];
  const half = parts.length >> 1;
  return concat(joined(parts.slice(0, half)), joined(parts.slice(half)));
}

/** alpha A B, or alpha A B + beta D, for each of a batch. */
export function batchedMatmul(a: Tensor, b: Tensor, { transposeA = false, transposeB = false, alpha = 1, addend, beta = 1 }: Partial<BatchedMatmulAttrs> & { readonly addend?: Tensor } = {}): Tensor {
  return apply('batched_matmul', addend ? [a, b, addend] : [a, b], { transposeA, transposeB, alpha, beta })[0];
}
