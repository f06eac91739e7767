// maximum: the larger of two numbers, element by element.

import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

defineOp({
  name: 'maximum',
  infer(inputs) {
    const [a, b] = inputs;
    if (!sameShape(a.shape, b.shape)) shapeError('maximum', inputs, 'shapes must be equal');
    return [{ shape: a.shape, dtype: 'f32' }];
  },
  reference([a, b], [out]) {
    const [x, y, z] = [a.f32, b.f32, out.f32];
    for (let i = 0; i < z.length; i++) z[i] = Math.max(x[i], y[i]);
  },
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 1),
});

export function maximum(a: Tensor, b: Tensor): Tensor {
  return apply('maximum', [a, b])[0];
}
