// add: a + b, where b has a's shape or the shape of its last axes (a bias row).

import { elementCount } from '../dtype.js';
import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';
import { sumTo } from './sum_to.js';

defineOp({
  name: 'add',
  infer(inputs) {
    const [a, b] = inputs;
    if (!sameShape(a.shape.slice(a.shape.length - b.shape.length), b.shape)) shapeError('add', inputs, 'the second shape must be the last axes of the first');
    return [{ shape: a.shape, dtype: 'f32' }];
  },
  reference([a, b], [out]) {
    const [x, y, z] = [a.f32, b.f32, out.f32];
    for (let i = 0; i < z.length; i++) z[i] = x[i] + y[i % y.length];
  },
  vjp: (saved, [dy]) => [dy, dy && saved.needs(1) ? sumTo(dy, saved.inputSpecs[1].shape) : null],
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 1),
});

export function add(a: Tensor, b: Tensor): Tensor {
  return elementCount(b.shape) > elementCount(a.shape) ? apply('add', [b, a])[0] : apply('add', [a, b])[0];
}
