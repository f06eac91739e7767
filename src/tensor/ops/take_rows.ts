// take_rows: rows of a table [V, D] (any storage format) by indices [T]: embeddings, wanted rows.
// A negative index (padding of a step) gives zeros. add_rows: its gradient, summed into [V, D].

import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf, bytesOfRows } from './cost.js';

defineOp({
  name: 'take_rows',
  infer(inputs) {
    const [table, indices] = inputs;
    if (table.shape.length !== 2 || indices.shape.length !== 1) shapeError('take_rows', inputs, 'expected a table [V, D] and indices [T]');
    return [{ shape: [indices.shape[0], table.shape[1]], dtype: 'f32' }];
  },
  reference([table, indices], [out]) {
    const [n, at, to] = [table.rowLength, indices.i32, out.f32];
    const scratch = new Float32Array(n);
    for (let t = 0; t < at.length; t++) {
      if (at[t] >= table.rowCount) throw new RangeError(`take_rows: index ${at[t]} of ${table.rowCount} rows`);
      if (at[t] < 0) to.fill(0, t * n, (t + 1) * n);
      else to.set(table.row(at[t], scratch), t * n);
    }
  },
  saves: { inputs: [1] },
  vjp: (saved, [dy]) => [dy && saved.needs(0) ? apply('add_rows', [dy, saved.input(1)], { rows: saved.inputSpecs[0].shape[0] })[0] : null, null],
  cost(inputs) {
    const [table, indices] = inputs;
    const out = indices.shape[0] * table.shape[1] * 4;
    return { flops: 0, bytesRead: bytesOfRows(table, indices.shape[0]) + bytesOf([indices]), bytesWritten: out };
  },
});

defineOp<{ rows: number }>({
  name: 'add_rows',
  infer: ([x], { rows }) => [{ shape: [rows, x.shape[1]], dtype: 'f32' }],
  reference([x, indices], [out]) {
    const [n, from, at, to] = [x.rowLength, x.f32, indices.i32, out.f32];
    to.fill(0);
    for (let t = 0; t < at.length; t++) {
      if (at[t] >= 0) for (let i = 0; i < n; i++) to[at[t] * n + i] += from[t * n + i];
    }
  },
  cost: (inputs, { rows }) => ({ flops: bytesOf([inputs[0]]) / 4, bytesRead: bytesOf(inputs), bytesWritten: rows * inputs[0].shape[1] * 4 }),
});

export function takeRows(table: Tensor, indices: Tensor): Tensor {
  return apply('take_rows', [table, indices])[0];
}
