// layer_norm: (x - mean) * rsqrt(variance + eps) * w + b over the last axis; biased variance.

import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';
import { sumTo } from './sum_to.js';

defineOp<{ eps: number }>({
  name: 'layer_norm',
  infer(inputs) {
    const [x, w, b] = inputs;
    if (w.shape[0] !== x.shape.at(-1) || b.shape[0] !== x.shape.at(-1)) shapeError('layer_norm', inputs, 'weight and bias must have the length of the last axis');
    return [{ shape: x.shape, dtype: 'f32' }];
  },
  reference([x, w, b], [out], { eps }) {
    const [n, from, to] = [x.rowLength, x.f32, out.f32];
    const [weight, bias] = [w.toFloat32(), b.toFloat32()];
    for (let r = 0; r < x.rowCount; r++) {
      const { mean, inverse } = moments(from, r * n, n, eps);
      for (let i = 0; i < n; i++) to[r * n + i] = (from[r * n + i] - mean) * inverse * weight[i] + bias[i];
    }
  },
  saves: { inputs: [0, 1] },
  vjp(saved, [dy], attrs) {
    if (!dy) return [];
    const [dx, dwRows] = apply('layer_norm_grad', [saved.input(0), dy, saved.input(1)], { ...attrs });
    const shape = saved.inputSpecs[1].shape;
    return [dx, saved.needs(1) ? sumTo(dwRows, shape) : null, saved.needs(2) ? sumTo(dy, shape) : null];
  },
  cost: (inputs) => elementwiseCost(inputs, [{ shape: inputs[0].shape, dtype: 'f32' }], 7),
});

// Outputs dx, and the weight's gradient row by row, summed by the caller.
defineOp<{ eps: number }>({
  name: 'layer_norm_grad',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }, { shape: x.shape, dtype: 'f32' }],
  reference([x, dy, w], [dx, dw], { eps }) {
    const [n, from, grad, to, toW] = [x.rowLength, x.f32, dy.f32, dx.f32, dw.f32];
    const weight = w.toFloat32();
    for (let r = 0; r < x.rowCount; r++) {
      const base = r * n;
      const { mean, inverse } = moments(from, base, n, eps);
      let [sum, dot] = [0, 0];
      for (let i = 0; i < n; i++) {
        const g = grad[base + i] * weight[i];
        sum += g;
        dot += g * (from[base + i] - mean) * inverse;
      }
      for (let i = 0; i < n; i++) {
        const normal = (from[base + i] - mean) * inverse;
        to[base + i] = inverse * (grad[base + i] * weight[i] - sum / n - (normal * dot) / n);
        toW[base + i] = grad[base + i] * normal;
      }
    }
  },
  cost: (inputs) => elementwiseCost(inputs, [inputs[0], inputs[0]], 7),
});

function moments(x: Float32Array, base: number, n: number, eps: number): { mean: number; inverse: number } {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += x[base + i];
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (x[base + i] - mean) ** 2;
  return { mean, inverse: 1 / Math.sqrt(squares / n + eps) };
}

export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, eps: number): Tensor {
  return apply('layer_norm', [x, weight, bias], { eps })[0];
}
