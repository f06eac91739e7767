// rms_norm: x * rsqrt(mean(x^2) + eps) over the last axis, times (w + offset) where w is given.
// Gemma's norms store w - 1: offset 1. Llama 4's query and key norm has no weight.

import { elementCount } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';
import { sumTo } from './sum_to.js';

export interface RmsNormAttrs { eps: number; offset: number }

defineOp<RmsNormAttrs>({
  name: 'rms_norm',
  infer(inputs) {
    const [x, w] = inputs;
    if (w && (w.shape.length !== 1 || w.shape[0] !== x.shape.at(-1))) shapeError('rms_norm', inputs, 'the weight must have the length of the last axis');
    return [{ shape: x.shape, dtype: 'f32' }];
  },
  reference([x, w], [out], { eps, offset }) {
    const [n, from, to] = [x.rowLength, x.f32, out.f32];
    const weight = w?.toFloat32();
    for (let r = 0; r < x.rowCount; r++) {
      const inverse = inverseRms(from, r * n, n, eps);
      for (let i = 0; i < n; i++) to[r * n + i] = from[r * n + i] * inverse * (weight ? weight[i] + offset : 1);
    }
  },
  saves: { inputs: [0, 1] },
  vjp(saved, [dy], attrs) {
    if (!dy) return [];
    const weighted = saved.inputSpecs.length > 1;
    const [dx, dwRows] = apply('rms_norm_grad', [saved.input(0), dy, ...(weighted ? [saved.input(1)] : [])], { ...attrs });
    return weighted ? [dx, saved.needs(1) ? sumTo(dwRows, saved.inputSpecs[1].shape) : null] : [dx];
  },
  cost: (inputs) => elementwiseCost(inputs, [{ shape: inputs[0].shape, dtype: 'f32' }], 4),
});

// Outputs dx, and the weight's gradient row by row (dy * normalised x), summed by the caller.
defineOp<RmsNormAttrs>({
  name: 'rms_norm_grad',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }, { shape: x.shape, dtype: 'f32' }],
  reference([x, dy, w], [dx, dw], { eps, offset }) {
    const [n, from, grad, to, toW] = [x.rowLength, x.f32, dy.f32, dx.f32, dw.f32];
    const weight = w?.toFloat32();
    for (let r = 0; r < x.rowCount; r++) {
      const base = r * n;
      const inverse = inverseRms(from, base, n, eps);
      let dot = 0;
      for (let i = 0; i < n; i++) dot += grad[base + i] * (weight ? weight[i] + offset : 1) * from[base + i];
      const pull = (dot * inverse ** 3) / n;
      for (let i = 0; i < n; i++) {
        to[base + i] = grad[base + i] * (weight ? weight[i] + offset : 1) * inverse - from[base + i] * pull;
        toW[base + i] = grad[base + i] * from[base + i] * inverse;
      }
    }
  },
  cost: (inputs) => ({ ...elementwiseCost(inputs, [inputs[0], inputs[0]], 5), flops: elementCount(inputs[0].shape) * 10 }),
});

function inverseRms(x: Float32Array, base: number, n: number, eps: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += x[base + i] ** 2;
  return 1 / Math.sqrt(sum / n + eps);
}

/** RMS norm over the last axis; without a weight it only normalises. */
export function rmsNorm(x: Tensor, weight: Tensor | undefined, attrs: RmsNormAttrs): Tensor {
  return apply('rms_norm', weight ? [x, weight] : [x], { ...attrs })[0];
}
