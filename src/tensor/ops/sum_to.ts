// sum_to: sums over the leading axes until the shape is `shape` (the gradient of broadcasting).
// repeat_to: repeats over leading axes until the shape is `shape`, its gradient.

import { elementCount } from '../dtype.js';
import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf } from './cost.js';

defineOp<{ shape: readonly number[] }>({
  name: 'sum_to',
  infer(inputs, { shape }) {
    const [x] = inputs;
    if (!sameShape(x.shape.slice(x.shape.length - shape.length), shape)) shapeError('sum_to', inputs, `last axes must be [${shape.join(', ')}]`);
    return [{ shape, dtype: 'f32' }];
  },
  reference([x], [out]) {
    const [from, to] = [x.f32, out.f32];
    const sums = new Float64Array(to.length);
    for (let i = 0; i < from.length; i++) sums[i % sums.length] += from[i];
    to.set(sums);
  },
  vjp: ({ inputSpecs: [{ shape }] }, [dy]) => [dy && apply('repeat_to', [dy], { shape })[0]],
  cost: (inputs, { shape }) => ({ flops: elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: elementCount(shape) * 4 }),
});

defineOp<{ shape: readonly number[] }>({
  name: 'repeat_to',
  infer(inputs, { shape }) {
    const [x] = inputs;
    if (!sameShape(shape.slice(shape.length - x.shape.length), x.shape)) shapeError('repeat_to', inputs, `must be the last axes of [${shape.join(', ')}]`);
    return [{ shape, dtype: 'f32' }];
  },
  reference([x], [out]) {
    const [from, to] = [x.f32, out.f32];
    for (let i = 0; i < to.length; i++) to[i] = from[i % from.length];
  },
  vjp: ({ inputSpecs: [{ shape }] }, [dy]) => [dy && sumTo(dy, shape)],
  cost: (inputs, { shape }) => ({ flops: 0, bytesRead: bytesOf(inputs), bytesWritten: elementCount(shape) * 4 }),
});

export function sumTo(x: Tensor, shape: readonly number[]): Tensor {
  return sameShape(x.shape, shape) ? x : apply('sum_to', [x], { shape })[0];
}
