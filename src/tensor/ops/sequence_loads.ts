// sequence_loads: how busy each expert is with each sequence, as the sequence-wise balance loss weighs
// affinities (DeepSeek V3, arXiv:2412.19437, eq. 17 to 20). Experts chosen [T, k] by rows laid end to
// end, `starts` [T] the row where each row's sequence begins -> [T, E]: E / (k n) times how often the
// n rows of t's sequence chose an expert, divided by n times the number of sequences. Times affinities
// and summed, that is the mean over sequences of sum_e (share of e) (mean affinity to e).

import { elementCount } from '../dtype.js';
import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf } from './cost.js';

defineOp<{ experts: number }>({
  name: 'sequence_loads',
  infer(inputs, { experts }) {
    const [indices, starts] = inputs;
    if (inputs.some(({ dtype }) => dtype !== 'i32') || indices.shape.length !== 2 || !sameShape(starts.shape, indices.shape.slice(0, 1))) shapeError('sequence_loads', inputs, 'expected indices [T, k] and starts [T]');
    return [{ shape: [indices.shape[0], experts], dtype: 'f32' }];
  },
  reference([indices, starts], [out], { experts }) {
    const [at, first, to, k] = [indices.i32, starts.i32, out.f32, indices.rowLength];
    const sequences = first.filter((start, t) => start === t).length;
    const counts = new Float64Array(to.length);
    const lengths = new Int32Array(first.length);
    first.forEach((start, t) => {
      lengths[start]++;
      for (let c = t * k; c < (t + 1) * k; c++) counts[start * experts + at[c]]++;
    });
    first.forEach((start, t) => {
      const n = lengths[start];
      for (let e = 0; e < experts; e++) to[t * experts + e] = (counts[start * experts + e] * experts) / (k * n * n * sequences);
    });
  },
  vjp: () => [null, null],
  cost: (inputs, { experts }) => ({ flops: elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: inputs[0].shape[0] * experts * 4 }),
});

/** What each row's affinities weigh in the sequence-wise balance loss, [T, E]; `starts` as in attention. */
export function sequenceLoads(indices: Tensor, starts: Tensor, experts: number): Tensor {
  return apply('sequence_loads', [indices, starts], { experts })[0];
}
