// copy: the first elements of one buffer become those of a larger one (a page store that grows).
// Effect: writes into its first input, which the caller owns.

import { byteLength, elementCount } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';

defineOp({
  name: 'copy',
  effect: true,
  infer(inputs) {
    const [to, from] = inputs;
    if (to.dtype !== from.dtype || elementCount(from.shape) > elementCount(to.shape)) shapeError('copy', inputs, 'the target must be as large and of the same type');
    return [];
  },
  reference([to, from]) {
    to.bytes.set(from.bytes.subarray(0, byteLength(from.spec)));
  },
  cost: ([, from]) => ({ flops: 0, bytesRead: byteLength(from), bytesWritten: byteLength(from) }),
});

export function copyInto(to: Tensor, from: Tensor): void {
  apply('copy', [to, from]);
}
