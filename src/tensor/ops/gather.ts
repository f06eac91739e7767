// gather: picks indices [R, k] out of each row of x [R, E]. scatter: its gradient, rows [R, E].

import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

defineOp({
  name: 'gather',
  infer(inputs) {
    const [x, indices] = inputs;
    if (x.shape[0] !== indices.shape[0]) shapeError('gather', inputs, 'one row of indices per row');
    return [{ shape: indices.shape, dtype: 'f32' }];
  },
  reference([x, indices], [out]) {
    const [E, k, from, to, at] = [x.rowLength, indices.rowLength, x.f32, out.f32, indices.i32];
    for (let i = 0; i < to.length; i++) to[i] = from[Math.floor(i / k) * E + at[i]];
  },
  saves: { inputs: [1] },
  vjp: (saved, [dy]) => [dy && scatter(dy, saved.input(1), saved.inputSpecs[0].shape[1]), null],
  cost: (inputs) => elementwiseCost([inputs[1], inputs[1]], [inputs[1]], 0),
});

defineOp<{ width: number }>({
  name: 'scatter',
  infer: ([x], { width }) => [{ shape: [x.shape[0], width], dtype: 'f32' }],
  reference([x, indices], [out], { width }) {
    const [k, from, to, at] = [x.rowLength, x.f32, out.f32, indices.i32];
    to.fill(0);
    for (let i = 0; i < from.length; i++) to[Math.floor(i / k) * width + at[i]] += from[i];
  },
  saves: { inputs: [1] },
  vjp: (saved, [dy]) => [dy && gather(dy, saved.input(1)), null],
  cost: (inputs, { width }) => elementwiseCost(inputs, [{ shape: [inputs[0].shape[0], width], dtype: 'f32' }], 1),
});

export function gather(x: Tensor, indices: Tensor): Tensor {
  return apply('gather', [x, indices])[0];
}

export function scatter(x: Tensor, indices: Tensor, width: number): Tensor {
  return apply('scatter', [x, indices], { width })[0];
}
