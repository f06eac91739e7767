// attention over the step's own rows, its gradient and its largest scores: see kernels/row_attention.ts.

import type { AttentionAttrs, Attrs } from '../../../tensor/index.js';
import { Kernel } from '../abi.js';
import { byRows, float, lastAxis, whole, written } from '../task.js';
import type { Ref, Task } from '../task.js';
import type { Lowering } from './lowering.js';

function numbersOf(q: Ref, k: Ref, v: Ref, attrs: Attrs): number[] {
  const { scale, valueDim, window = 0, chunk = 0 } = attrs as AttentionAttrs & Attrs;
  const [T, N, H] = q.spec.shape;
  return [T, N, k.spec.shape[1], H, lastAxis(v.spec), valueDim, window, chunk, float(scale)];
}

/** A task over tokens; it needs room for the scores of a whole sequence, twice for gradients. */
function overTokens(kernel: Kernel, q: Ref, operands: Task['operands'], numbers: readonly number[]): Task {
  const [T, N, H] = q.spec.shape;
  return { kernel, rows: T, columns: 1, grain: 1, work: T * T * N * H, scratch: T * 8 + 16, operands, numbers };
}

const supports: Lowering['supports'] = (inputs) => inputs.every(({ dtype }) => dtype === 'f32' || dtype === 'i32');

const attention: Lowering = {
  supports,
  lower: ({ call, inputs: [q, k, v, positions, starts], outputs: [out, lse] }) => [
    overTokens(Kernel.row_attention, q, [byRows(q), whole(k), whole(v), whole(positions), whole(starts), written(byRows(out)), written(byRows(lse))], numbersOf(q, k, v, call.attrs)),
  ],
};

const attentionMax: Lowering = {
  supports,
  lower({ call, inputs: [q, k, positions, starts], outputs: [out] }, { temporary }) {
    const [T, N] = q.spec.shape;
    const each: Ref = { slot: temporary(T * N * 4), spec: { shape: [T, N], dtype: 'f32' } };
    return [
      overTokens(Kernel.row_attention_max, q, [byRows(q), whole(k), whole(positions), whole(starts), written(byRows(each))], numbersOf(q, k, k, call.attrs)),
      { kernel: Kernel.column_max, rows: 1, columns: 1, grain: 1, work: T * N, operands: [whole(each), written(whole(out))], numbers: [T, N] },
    ];
  },
};

// Finds each row's sums again: it has its scores in scratch anyway.
const attentionGrad: Lowering = {
  supports,
  lower({ call, inputs: [q, k, v, positions, starts, , , dout], outputs: [dq, dk, dv] }, { temporary }) {
    const [T, N, H] = q.spec.shape;
    const [K, V] = [k.spec.shape[1], lastAxis(v.spec)];
    const kept: Ref = { slot: temporary(T * N * 12), spec: { shape: [T, N, 3], dtype: 'f32' } };
    const both: Ref = { slot: temporary(T * K * (H + V) * 4), spec: { shape: [T, K, H + V], dtype: 'f32' } };
    const numbers = numbersOf(q, k, v, call.attrs);
    const part = (to: Ref, start: number, length: number): Task => ({
      kernel: Kernel.slice, rows: T * K, columns: H + V, grain: H + V, work: T * K * length, operands: [byRows(both), written(byRows(to))], numbers: [H + V, start, length],
    });
    return [
      overTokens(Kernel.row_attention_grad_queries, q, [byRows(q), whole(k), whole(v), whole(positions), whole(starts), byRows(dout), written(byRows(dq)), written(byRows(kept))], numbers),
      overTokens(Kernel.row_attention_grad_keys, q, [whole(q), byRows(k), byRows(v), whole(positions), whole(starts), whole(dout), whole(kept), written(byRows(both))], numbers),
      part(dk, 0, H), part(dv, H, V),
    ];
  },
};

export const rowAttention = { attention, attention_max: attentionMax, attention_grad: attentionGrad };
