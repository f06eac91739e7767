// Keeping experts evenly loaded: the auxiliary loss of Switch Transformers (arXiv:2101.03961, eq. 4)
// as transformers computes it over all layers together, and DeepSeek's loss-free rule
// (arXiv:2408.15664, algorithm 1), which moves a bias that only choosing sees.

import type { Parameter, Routing } from '../nn/index.js';
import { add, copyInto, fromArray, mul, normalizeSum, reshape, scale, scatter, sumTo } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';

/** Times each expert was chosen, [E]. */
export function expertLoads({ scores, indices }: Routing): Tensor {
  const [T, k] = indices.shape;
  const ones = fromArray(indices.device, [T, k], new Float32Array(T * k).fill(1));
  return sumTo(scatter(ones, indices, scores.shape[1]), [scores.shape[1]]);
}

/**
 * E times the sum over experts of (share of tokens sent there) x (mean affinity to it), with shares
 * summed over the k choices: k when all experts get the same. [1].
 */
export function balanceLoss(routings: readonly Routing[]): Tensor {
  const E = routings[0].scores.shape[1];
  const tokens = routings.reduce((sum, { scores }) => sum + scores.shape[0], 0);
  const affinity = (routing: Routing) => sumTo(normalizeSum(routing.scores, 1e-20), [E]);
  const loads = routings.map(expertLoads).reduce((a, b) => add(a, b));
  const affinities = routings.map(affinity).reduce((a, b) => add(a, b));
  return scale(sumTo(reshape(mul(affinities, loads), [E, 1]), [1]), E / tokens ** 2);
}

/** Raises the bias of experts that were chosen less than average by `rate`, and lowers the others'. */
export function moveBias(bias: Parameter, loads: Float32Array, rate: number): void {
  const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
  const { tensor } = bias;
  copyInto(tensor, add(tensor, fromArray(tensor.device, [loads.length], loads.map((load) => rate * Math.sign(mean - load)))));
}
