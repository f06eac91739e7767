// count_indices: how often each of 0 ... width - 1 is among indices of any shape, [width].

import { elementCount } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf } from './cost.js';

defineOp<{ width: number }>({
  name: 'count_indices',
  infer(inputs, { width }) {
    if (inputs[0].dtype !== 'i32') shapeError('count_indices', inputs, 'expected indices');
    return [{ shape: [width], dtype: 'f32' }];
  },
  reference([indices], [out]) {
    const counts = out.f32;
    counts.fill(0);
    for (const index of indices.i32) if (index >= 0 && index < counts.length) counts[index]++;
  },
  vjp: () => [null],
  cost: (inputs, { width }) => ({ flops: elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: width * 4 }),
});

export function countIndices(indices: Tensor, width: number): Tensor {
  return apply('count_indices', [indices], { width })[0];
}
