// cross_entropy: mean over rows of -log softmax(logits)[target]; logits [R, V], targets [R] -> [1].

import { elementCount } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf } from './cost.js';

defineOp({
  name: 'cross_entropy',
  infer(inputs) {
    const [logits, targets] = inputs;
    if (logits.shape.length !== 2 || targets.shape[0] !== logits.shape[0]) shapeError('cross_entropy', inputs, 'one target per row of logits');
    return [{ shape: [1], dtype: 'f32' }];
  },
  reference([logits, targets], [loss]) {
    const [V, from, at] = [logits.rowLength, logits.f32, targets.i32];
    let sum = 0;
    for (let r = 0; r < at.length; r++) sum += logSumExp(from, r * V, V) - from[r * V + at[r]];
    loss.f32[0] = sum / at.length;
  },
  saves: { inputs: [0, 1] },
  vjp: (saved, [dy]) => [dy && apply('cross_entropy_grad', [saved.input(0), saved.input(1), dy])[0], null],
  cost: (inputs) => ({ flops: 5 * elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: 4 }),
});

defineOp({
  name: 'cross_entropy_grad',
  infer: ([logits]) => [{ shape: logits.shape, dtype: 'f32' }],
  reference([logits, targets, dloss], [dx]) {
    const [V, from, at, to] = [logits.rowLength, logits.f32, targets.i32, dx.f32];
    const factor = dloss.f32[0] / at.length;
    for (let r = 0; r < at.length; r++) {
      const norm = logSumExp(from, r * V, V);
      for (let i = 0; i < V; i++) to[r * V + i] = (Math.exp(from[r * V + i] - norm) - (i === at[r] ? 1 : 0)) * factor;
    }
  },
  cost: (inputs) => ({ flops: 5 * elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: bytesOf([inputs[0]]) }),
});

function logSumExp(x: Float32Array, base: number, n: number): number {
  let [max, sum] = [-Infinity, 0];
  for (let i = 0; i < n; i++) max = Math.max(max, x[base + i]);
  for (let i = 0; i < n; i++) sum += Math.exp(x[base + i] - max);
  return max + Math.log(sum);
}

export function crossEntropy(logits: Tensor, targets: Tensor): Tensor {
  return apply('cross_entropy', [logits, targets])[0];
}
