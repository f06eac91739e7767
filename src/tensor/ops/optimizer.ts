// What optimisers need beside the ops of models: sums of squares, and AdamW's elementwise update.

import { elementCount } from '../dtype.js';
import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf } from './cost.js';

// sum_squares: the sum of all squared elements, [1].
defineOp({
  name: 'sum_squares',
  infer: () => [{ shape: [1], dtype: 'f32' }],
  reference([x], [out]) {
    const from = x.f32;
    let sum = 0;
    for (let i = 0; i < from.length; i++) sum += from[i] * from[i];
    out.f32[0] = sum;
  },
  cost: (inputs) => ({ flops: 2 * elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: 4 }),
});

export interface AdamWAttrs {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
  /** From 1: which update this is, for the bias corrections. */
  step: number;
  /** The gradient is multiplied by this first (clipping). */
  gradientScale: number;
}

// adamw: one update of a parameter and its two moments from a gradient (Loshchilov and Hutter,
// arXiv:1711.05101, with Adam's bias corrections). Effect: writes its first three inputs.
defineOp<AdamWAttrs>({
  name: 'adamw',
  effect: true,
  infer(inputs) {
    if (inputs.length !== 4 || inputs.some(({ shape, dtype }) => dtype !== 'f32' || !sameShape(shape, inputs[0].shape))) shapeError('adamw', inputs, 'expected a parameter, two moments and a gradient of one shape in f32');
    return [];
  },
  reference([p, m, v, g], _outputs, { learningRate, beta1, beta2, epsilon, weightDecay, step, gradientScale }) {
    const [weight, first, second, gradient] = [p.f32, m.f32, v.f32, g.f32];
    const [correction1, correction2] = [1 - beta1 ** step, 1 - beta2 ** step];
    for (let i = 0; i < weight.length; i++) {
      const slope = gradient[i] * gradientScale;
      first[i] = beta1 * first[i] + (1 - beta1) * slope;
      second[i] = beta2 * second[i] + (1 - beta2) * slope * slope;
      const update = first[i] / correction1 / (Math.sqrt(second[i] / correction2) + epsilon);
      weight[i] = weight[i] * (1 - learningRate * weightDecay) - learningRate * update;
    }
  },
  cost: (inputs) => ({ flops: 14 * elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: bytesOf(inputs.slice(0, 3)) }),
});

/** Sum of all squared elements, [1]. */
export function sumSquares(x: Tensor): Tensor {
  return apply('sum_squares', [x])[0];
}

/** Updates a parameter and its moments where they lie. */
export function adamwUpdate(parameter: Tensor, moments: readonly [Tensor, Tensor], gradient: Tensor, attrs: AdamWAttrs): void {
  apply('adamw', [parameter, ...moments, gradient], { ...attrs });
}
