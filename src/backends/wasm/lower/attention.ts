// kv_append and paged_attention: see kernels/attention.ts.

import { elementCount, PAGE_TOKENS } from '../../../tensor/index.js';
import type { Spec } from '../../../tensor/index.js';
import { HEADS_AT_ONCE, Kernel, PAGE_TOKENS as KERNEL_PAGE } from '../abi.js';
import { byBoth, byColumns, byRows, float, lastAxis, whole, written } from '../task.js';
import type { Lowering } from './index.js';

if (PAGE_TOKENS !== KERNEL_PAGE) throw new Error(`kernels were made for pages of ${KERNEL_PAGE} tokens, not ${PAGE_TOKENS}`);

interface AttentionAttrs { scale: number; valueDim: number; window?: number; chunk?: number }

const typed = (inputs: readonly Spec[], floats: number) => inputs.every(({ dtype }, i) => dtype === (i < floats ? 'f32' : 'i32'));

/**
 * Into how many units heads are divided. By key/value head, a thread appends, reads and attends
 * within its own and waits for nobody; but few such heads on many threads leave some idle.
 */
function headUnits(heads: number, keyHeads: number, threads: number): number {
  return keyHeads % threads === 0 || keyHeads >= 4 * threads ? keyHeads : heads;
}

const kvAppend: Lowering = {
  supports: (inputs) => typed(inputs, 2),
  lower({ inputs: [store, rows, positions, slots, table] }) {
    const [T, K, H] = rows.spec.shape;
    const [pages] = store.spec.shape;
    const [sequences, entries] = table.spec.shape;
    return [{
      kernel: Kernel.kv_append, rows: T, columns: K * H, grain: H, units: K, widthAt: [5, H], work: T * K * H,
      operands: [byBoth(rows, T, K * H), byRows(positions), byRows(slots), whole(table), written(byColumns(store, pages * PAGE_TOKENS, K * H))],
      numbers: [K, H, entries, sequences, pages, 0],
    }];
  },
};

const pagedAttention: Lowering = {
  supports: (inputs) => typed(inputs, 3),
  lower({ call, inputs: [q, k, v, positions, slots, table], outputs: [out] }, { threads }) {
    const { scale, valueDim: D, window = 0, chunk = 0 } = call.attrs as unknown as AttentionAttrs;
    const [T, N, H] = q.spec.shape;
    const [pages, , K] = k.spec.shape;
    const V = lastAxis(v.spec);
    const [sequences, entries] = table.spec.shape;
    return [{
      kernel: Kernel.paged_attention, rows: T, columns: N * D, grain: D, units: headUnits(N, K, threads), widthAt: [10, D],
      work: elementCount(q.spec.shape) * PAGE_TOKENS * 16, scratch: HEADS_AT_ONCE * (PAGE_TOKENS + 4) * 4,
      operands: [
        byBoth(q, T, N * H), byColumns(k, pages * PAGE_TOKENS, K * H, H), byColumns(v, pages * PAGE_TOKENS, K * V, V),
        byRows(positions), byRows(slots), whole(table), written(byBoth(out, T, N * D)),
      ],
      numbers: [N, K, H, V, D, entries, sequences, pages, window, chunk, 0, float(scale)],
    }];
  },
};

export const attention = { kv_append: kvAppend, paged_attention: pagedAttention };
