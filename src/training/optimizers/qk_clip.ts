// QK-Clip (Kimi K2, arXiv:2507.20534, algorithm 1): where a head's largest score of this step exceeds
// the limit, the rows of the weights that made its queries and keys shrink, so that the score would
// have been the limit. Which rows those are the model declares at its cache (nn/kv.ts, `headRows`):
// in latent attention the query and key rows of each head, the rotated part by the queries alone,
// since all heads share its keys. Where query heads share a key head, the group's largest score counts
// and the whole group shrinks, as in Megatron-LM.

import type { KvCache } from '../../nn/index.js';
import { clipHeads } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';

/** Clips one attention by the largest score of each of its query heads [N]. */
export function qkClip({ headRows }: KvCache, largest: Tensor, limit: number, clip: Tensor): void {
  const groups = Math.min(...headRows.map(({ heads }) => heads));
  for (const { parameters, ...rows } of headRows) for (const { tensor } of parameters) clipHeads(tensor, largest, clip, { ...rows, groups, limit });
}

/** How many heads of an attention were above the limit, where that shrinks them. */
export function clippedHeads({ headRows }: KvCache, largest: Float32Array, limit: number): number {
  return headRows.length === 0 ? 0 : largest.filter((score) => score > limit).length;
}
