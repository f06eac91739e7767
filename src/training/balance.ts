// Keeping experts evenly loaded: the auxiliary loss of Switch Transformers (arXiv:2101.03961, eq. 4)
// as transformers computes it over all layers together, and DeepSeek's by sequence. DeepSeek's loss-free
// rule (arXiv:2408.15664), which moves a bias that only choosing sees, is the op move_bias.

import type { Routing } from '../nn/index.js';
import { add, countIndices, mul, normalizeSum, reshape, scale, sequenceLoads, sumTo, topK } from '../tensor/index.js';
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

/**
 * DeepSeek V3's complementary loss (arXiv:2412.19437, eq. 17 to 20): for each layer the mean over
 * sequences of the sum over experts of (share of the sequence's tokens whose k largest affinities it is
 * among, times E / k) x (mean affinity to it, affinities summing to one); added up over layers. 1 a
 * layer when all experts get the same. `starts` [T]: the row where each row's sequence begins. [1].
 */
export function sequenceBalanceLoss(routings: readonly Routing[], starts: Tensor): Tensor {
  const each = routings.map(({ scores, indices }) => {
    const [T, E] = scores.shape;
    // By affinity alone: what a bias or groups changed of the choice is not the affinity's doing.
    const chosen = topK(scores, { k: indices.shape[1] }).indices;
    return sumTo(reshape(mul(normalizeSum(scores, 1e-20), sequenceLoads(chosen, starts, E)), [T * E, 1]), [1]);
  });
  return each.reduce((a, b) => add(a, b));
}
