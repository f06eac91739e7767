// outer: weights [T, k] times rows x [T, D] -> [T, k, D] (Llama 4 scales what an expert reads).

import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';
import { combine } from './expert_linear.js';

defineOp({
  name: 'outer',
  infer(inputs) {
    const [w, x] = inputs;
    if (w.shape.length !== 2 || x.shape.length !== 2 || w.shape[0] !== x.shape[0]) shapeError('outer', inputs, 'expected weights [T, k] and x [T, D]');
    return [{ shape: [w.shape[0], w.shape[1], x.shape[1]], dtype: 'f32' }];
  },
  reference([w, x], [out]) {
    const [k, D, weight, from, to] = [w.rowLength, x.rowLength, w.f32, x.f32, out.f32];
    for (let c = 0; c < weight.length; c++) {
      const base = Math.floor(c / k) * D;
      for (let d = 0; d < D; d++) to[c * D + d] = weight[c] * from[base + d];
    }
  },
  saves: { inputs: [0, 1] },
  vjp(saved, [dy]) {
    if (!dy) return [];
    const [w, x] = [saved.input(0), saved.input(1)];
    return [saved.needs(0) ? apply('combine_grad', [dy, w, x])[1] : null, saved.needs(1) ? combine(dy, w) : null];
  },
  cost: ([w, x]) => elementwiseCost([w, x], [{ shape: [w.shape[0], w.shape[1], x.shape[1]], dtype: 'f32' }], 1),
});

export function outer(weights: Tensor, x: Tensor): Tensor {
  return apply('outer', [weights, x])[0];
}
