// top_k: the k largest of each row of x [R, E], largest first, lowest index first among equals:
// values [R, k] and indices [R, k]. With groups, only the best `groupsPicked` of `groups` equal
// parts of the row compete; a group's score is the sum of its two largest (DeepSeek V3) or its
// largest (DeepSeek V2).

import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf } from './cost.js';
import { scatter } from './gather.js';

export interface TopKAttrs { k: number; groups?: number; groupsPicked?: number; groupScore?: 'sum2' | 'max' }

defineOp<TopKAttrs>({
  name: 'top_k',
  infer(inputs, { k, groups = 1 }) {
    const [x] = inputs;
    if (x.shape.length !== 2 || k < 1 || k > x.shape[1] || x.shape[1] % groups !== 0) shapeError('top_k', inputs, `cannot take ${k} of each row in ${groups} groups`);
    const shape = [x.shape[0], k];
    return [{ shape, dtype: 'f32' }, { shape, dtype: 'i32' }];
  },
  reference([x], [values, indices], attrs) {
    const [n, k, from, to, at] = [x.rowLength, attrs.k, x.f32, values.f32, indices.i32];
    for (let r = 0; r < x.rowCount; r++) {
      const row = from.subarray(r * n, (r + 1) * n);
      const open = competing(row, attrs);
      const order = largest(open, k);
      for (let i = 0; i < k; i++) { to[r * k + i] = row[order[i]]; at[r * k + i] = order[i]; }
    }
  },
  saves: { outputs: [1] },
  vjp: (saved, [dValues]) => [dValues && scatter(dValues, saved.output(1), saved.inputSpecs[0].shape[1])],
  cost: (inputs, { k }) => ({ flops: inputs[0].shape[0] * inputs[0].shape[1], bytesRead: bytesOf(inputs), bytesWritten: inputs[0].shape[0] * k * 8 }),
});

/** Indices of the `count` largest numbers, largest first. */
function largest(row: ArrayLike<number>, count: number): number[] {
  return Array.from({ length: row.length }, (_, i) => i).sort((a, b) => row[b] - row[a] || a - b).slice(0, count);
}

/** The row with the groups that lose set to minus infinity. */
function competing(row: Float32Array, { groups = 1, groupsPicked = groups, groupScore = 'sum2' }: TopKAttrs): Float32Array {
  if (groupsPicked >= groups) return row;
  const size = row.length / groups;
  const scores = Array.from({ length: groups }, (_, g) => {
    const best = [...row.subarray(g * size, (g + 1) * size)].sort((a, b) => b - a);
    return groupScore === 'max' ? best[0] : best[0] + (best[1] ?? 0);
  });
  const open = new Float32Array(row.length).fill(-Infinity);
  for (const g of largest(scores, groupsPicked)) open.set(row.subarray(g * size, (g + 1) * size), g * size);
  return open;
}

/** Values and indices of the k largest of each row. */
export function topK(x: Tensor, attrs: TopKAttrs): { values: Tensor; indices: Tensor } {
  const [values, indices] = apply('top_k', [x], { ...attrs });
  return { values, indices };
}
