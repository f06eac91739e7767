// scale: x times a constant.

import { defineOp } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

defineOp<{ factor: number }>({
  name: 'scale',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  reference([x], [out], { factor }) {
    const [from, to] = [x.f32, out.f32];
    for (let i = 0; i < to.length; i++) to[i] = from[i] * factor;
  },
  vjp: (_saved, [dy], { factor }) => [dy && scale(dy, factor)],
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 1),
});

export function scale(x: Tensor, factor: number): Tensor {
  return apply('scale', [x], { factor })[0];
}
