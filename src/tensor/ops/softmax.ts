// softmax over the last axis.

import { defineOp } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

defineOp({
  name: 'softmax',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  reference([x], [out]) {
    const [n, from, to] = [x.rowLength, x.f32, out.f32];
    for (let r = 0; r < x.rowCount; r++) {
      let [max, sum] = [-Infinity, 0];
      for (let i = r * n; i < (r + 1) * n; i++) max = Math.max(max, from[i]);
      for (let i = r * n; i < (r + 1) * n; i++) sum += Math.exp(from[i] - max);
      for (let i = r * n; i < (r + 1) * n; i++) to[i] = Math.exp(from[i] - max) / sum;
    }
  },
  saves: { outputs: [0] },
  vjp: (saved, [dy]) => [dy && apply('softmax_grad', [saved.output(0), dy])[0]],
  cost: (inputs) => elementwiseCost(inputs, inputs, 5),
});

defineOp({
  name: 'softmax_grad',
  infer: ([y]) => [{ shape: y.shape, dtype: 'f32' }],
  reference([y, dy], [dx]) {
    const [n, out, grad, to] = [y.rowLength, y.f32, dy.f32, dx.f32];
    for (let r = 0; r < y.rowCount; r++) {
      let dot = 0;
      for (let i = r * n; i < (r + 1) * n; i++) dot += out[i] * grad[i];
      for (let i = r * n; i < (r + 1) * n; i++) to[i] = out[i] * (grad[i] - dot);
    }
  },
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 4),
});

export function softmax(x: Tensor): Tensor {
  return apply('softmax', [x])[0];
}
