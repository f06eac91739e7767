// head_linear: each head's own rows of one matrix, as MLA's kv_b_proj holds them.
// W [N * B, R] is N blocks of B rows; a call uses rows [start, start + rows) of each block.
//   plain:       x [T, N, R]    -> y [T, N, rows],  y[n] = W_n x[n]
//   transposed:  x [T, N, rows] -> y [T, N, R],     y[n] = W_n^T x[n]

import { byteLength, elementCount } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import type { View } from '../view.js';

export interface HeadLinearAttrs { start: number; rows: number; transposed: boolean }

defineOp<HeadLinearAttrs>({
  name: 'head_linear',
  infer(inputs, { start, rows, transposed }) {
    const [x, w] = inputs;
    const [T, N, width] = x.shape;
    const block = w.shape[0] / N;
    if (!Number.isInteger(block) || start + rows > block || width !== (transposed ? rows : w.shape[1])) {
      shapeError('head_linear', inputs, `rows ${start} to ${start + rows} of each head's block do not fit`);
    }
    return [{ shape: [T, N, transposed ? w.shape[1] : rows], dtype: 'f32' }];
  },
  reference([x, w], [y], { start, rows, transposed }) {
    const [T, N, I] = x.spec.shape;
    const O = y.spec.shape[2];
    const [from, to] = [x.f32, y.f32];
    eachHeadRow(w, N, start, rows, (n, j, row) => {
      for (let t = 0; t < T; t++) {
        const [at, out] = [(t * N + n) * I, (t * N + n) * O];
        if (transposed) {
          if (j === 0) to.fill(0, out, out + O);
          for (let r = 0; r < O; r++) to[out + r] += from[at + j] * row[r];
        } else {
          let sum = 0;
          for (let r = 0; r < I; r++) sum += from[at + r] * row[r];
          to[out + j] = sum;
        }
      }
    });
  },
  saves: { inputs: [0, 1] },
  vjp(saved, [dy], attrs) {
    if (!dy) return [];
    const [x, w] = [saved.input(0), saved.input(1)];
    return [
      saved.needs(0) ? headLinear(dy, w, { ...attrs, transposed: !attrs.transposed }) : null,
      saved.needs(1) ? apply('head_linear_grad', attrs.transposed ? [dy, x] : [x, dy], { start: attrs.start, block: w.shape[0] / x.shape[1] })[0] : null,
    ];
  },
  cost(inputs, { rows }) {
    const [x, w] = inputs;
    const [T, N] = x.shape;
    const used = (byteLength(w) * rows * N) / w.shape[0];
    return { flops: 2 * T * N * rows * w.shape[1], bytesRead: used + elementCount(x.shape) * 4, bytesWritten: T * N * rows * 4 };
  },
});

// The matrix's gradient: wide [T, N, R] and narrow [T, N, rows] -> [N * block, R], zero outside.
defineOp<{ start: number; block: number }>({
  name: 'head_linear_grad',
  infer: ([wide], { block }) => [{ shape: [wide.shape[1] * block, wide.shape[2]], dtype: 'f32' }],
  reference([wide, narrow], [dw], { start, block }) {
    const [T, N, R] = wide.spec.shape;
    const rows = narrow.spec.shape[2];
    const [x, g] = [wide.f32, narrow.f32];
    const sums = new Float64Array(N * block * R);
    for (let t = 0; t < T; t++) for (let n = 0; n < N; n++) for (let j = 0; j < rows; j++) {
      const factor = g[(t * N + n) * rows + j];
      for (let r = 0; r < R; r++) sums[(n * block + start + j) * R + r] += factor * x[(t * N + n) * R + r];
    }
    dw.f32.set(sums);
  },
  cost: ([wide, narrow], { block }) => ({
    flops: 2 * elementCount(wide.shape) * narrow.shape[2], bytesRead: elementCount(wide.shape) * 4 + elementCount(narrow.shape) * 4,
    bytesWritten: wide.shape[1] * block * wide.shape[2] * 4,
  }),
});

function eachHeadRow(w: View, heads: number, start: number, rows: number, body: (n: number, j: number, row: Float32Array) => void): void {
  const block = w.rowCount / heads;
  const scratch = new Float32Array(w.rowLength);
  for (let n = 0; n < heads; n++) for (let j = 0; j < rows; j++) body(n, j, w.row(n * block + start + j, scratch));
}

export function headLinear(x: Tensor, w: Tensor, attrs: HeadLinearAttrs): Tensor {
  return apply('head_linear', [x, w], { ...attrs })[0];
}
