// mul: a * b, where b has a's shape or the shape of its last axes.

import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';
import { sumTo } from './sum_to.js';

defineOp({
  name: 'mul',
  infer(inputs) {
    const [a, b] = inputs;
    if (!sameShape(a.shape.slice(a.shape.length - b.shape.length), b.shape)) shapeError('mul', inputs, 'the second shape must be the last axes of the first');
    return [{ shape: a.shape, dtype: 'f32' }];
  },
  reference([a, b], [out]) {
    const [x, y, z] = [a.f32, b.f32, out.f32];
    for (let i = 0; i < z.length; i++) z[i] = x[i] * y[i % y.length];
  },
  saves: { inputs: [0, 1] },
  vjp: (saved, [dy]) => dy ? [
    saved.needs(0) ? mul(dy, saved.input(1)) : null,
    saved.needs(1) ? sumTo(mul(dy, saved.input(0)), saved.inputSpecs[1].shape) : null,
  ] : [null, null],
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 1),
});

export function mul(a: Tensor, b: Tensor): Tensor {
  return apply('mul', [a, b])[0];
}
