// Keeping experts evenly loaded: the auxiliary loss of Switch Transformers (arXiv:2101.03961, eq. 4)
// as transformers computes it over all layers together. DeepSeek's loss-free rule (arXiv:2408.15664),
// which moves a bias that only choosing sees, is the op move_bias.

import type { Routing } from '../nn/index.js';
import { add, countIndices, mul, normalizeSum, reshape, scale, sumTo } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';

/** Times each expert was chosen, [E]. */
export function expertLoads({ scores, indices }: Routing): Tensor {
  return countIndices(indices, scores.shape[1]);
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
