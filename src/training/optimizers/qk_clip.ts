// QK-Clip (Kimi K2, arXiv:2507.20534, algorithm 1): where a head's largest score of this step exceeds
// the limit, the rows of the weights that made its queries and keys shrink, so that the score would
// have been the limit. Which rows those are the model declares at its cache (nn/kv.ts, `headRows`):
// in latent attention the query and key rows of each head, the rotated part by the queries alone,
// since all heads share its keys. Where query heads share a key head, the group's largest score counts
// and the whole group shrinks, as in Megatron-LM.

import type { HeadRows, KvCache } from '../../nn/index.js';
import { copyInto, fromArray, outer, reshape, scope } from '../../tensor/index.js';
import type { Tensor } from '../../tensor/index.js';

/** Clips one attention by the largest score of each of its query heads; returns how many heads were above the limit. */
export function qkClip(cache: KvCache, largest: Float32Array, limit: number): number {
  const { headRows } = cache;
  if (headRows.length === 0) return 0;
  const groups = Math.min(...headRows.map(({ heads }) => heads));
  const factors = Array.from({ length: groups }, (_, group) => {
    const size = largest.length / groups;
    const top = Math.max(...largest.subarray(group * size, (group + 1) * size));
    return top > limit ? limit / top : 1;
  });
  if (factors.every((factor) => factor === 1)) return 0;
  scope(() => {
    for (const rows of headRows) for (const { tensor } of rows.parameters) multiplyRows(tensor, rowFactors(rows, tensor.shape[0], factors));
  });
  return largest.filter((score) => score > limit).length;
}

function rowFactors({ heads, block, start, rows, base, power }: HeadRows, count: number, factors: readonly number[]): Float32Array {
  const out = new Float32Array(count).fill(1);
  for (let head = 0; head < heads; head++) {
    const from = base + head * block + start;
    out.fill(factors[Math.floor((head * factors.length) / heads)] ** power, from, from + rows);
  }
  return out;
}

function multiplyRows(tensor: Tensor, factors: Float32Array): void {
  const rows = factors.length;
  const matrix = reshape(tensor, [rows, tensor.shape.length > 1 ? tensor.shape[1] : 1]);
  copyInto(tensor, outer(fromArray(tensor.device, [rows, 1], factors), matrix));
}
