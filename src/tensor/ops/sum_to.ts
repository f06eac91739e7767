// sum_to: sums over the leading axes until the shape is `shape` (the gradient of broadcasting).

import { elementCount } from '../dtype.js';
import { defineOp, sameShape, shapeError } from '../op.js';
import { apply, fromArray } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { add } from './add.js';
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
  vjp: ({ inputSpecs: [{ shape }] }, [dy]) => [dy && add(fromArray(dy.device, shape, new Float32Array(elementCount(shape))), dy)],
  cost: (inputs, { shape }) => ({ flops: elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: elementCount(shape) * 4 }),
});

export function sumTo(x: Tensor, shape: readonly number[]): Tensor {
  return sameShape(x.shape, shape) ? x : apply('sum_to', [x], { shape })[0];
}
