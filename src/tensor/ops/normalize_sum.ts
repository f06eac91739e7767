// normalize_sum: x / (sum of its row + epsilon), for routing weights.

import { defineOp } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

defineOp<{ epsilon: number }>({
  name: 'normalize_sum',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  reference([x], [out], { epsilon }) {
    const [n, from, to] = [x.rowLength, x.f32, out.f32];
    for (let r = 0; r < x.rowCount; r++) {
      let sum = epsilon;
      for (let i = r * n; i < (r + 1) * n; i++) sum += from[i];
      for (let i = r * n; i < (r + 1) * n; i++) to[i] = from[i] / sum;
    }
  },
  saves: { inputs: [0] },
  vjp: (saved, [dy], attrs) => [dy && apply('normalize_sum_grad', [saved.input(0), dy], { ...attrs })[0]],
  cost: (inputs) => elementwiseCost(inputs, inputs, 2),
});

defineOp<{ epsilon: number }>({
  name: 'normalize_sum_grad',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  reference([x, dy], [dx], { epsilon }) {
    const [n, from, grad, to] = [x.rowLength, x.f32, dy.f32, dx.f32];
    for (let r = 0; r < x.rowCount; r++) {
      let [sum, dot] = [epsilon, 0];
      for (let i = r * n; i < (r + 1) * n; i++) { sum += from[i]; dot += from[i] * grad[i]; }
      for (let i = r * n; i < (r + 1) * n; i++) to[i] = grad[i] / sum - dot / sum ** 2;
    }
  },
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 4),
});

export function normalizeSum(x: Tensor, epsilon: number): Tensor {
  return apply('normalize_sum', [x], { epsilon })[0];
}
