// kv_append and paged_attention: see kernels/pages.ts, attention.ts, attention_tile.ts.

import { elementCount, fitsBlocks, PAGE_TOKENS } from '../../../tensor/index.js';
import type { AttentionAttrs, Attrs, DType, Spec } from '../../../tensor/index.js';
import { Format, HEADS_AT_ONCE, KEPT_PAGES, Kernel, PAGE_TOKENS as KERNEL_PAGE, TILE_HEADS, TILE_ROWS } from '../abi.js';
import { byBoth, byColumns, byRows, float, lastAxis, whole, written } from '../task.js';
import type { Ref, Task, TaskOperand } from '../task.js';
import type { Lowering } from './lowering.js';

if (PAGE_TOKENS !== KERNEL_PAGE) throw new Error(`kernels were made for pages of ${KERNEL_PAGE} tokens, not ${PAGE_TOKENS}`);

/** Widest heads of which sums of int16 leave more than the precision of f16 (kernels/attention_integers.ts). */
const WIDEST_ROUNDED = 256;

/** What page stores can hold. */
const FORMATS: Partial<Record<DType, Format>> = { f32: Format.f32, f16: Format.f16, q8_0: Format.q8 };

/** Whether pages are of a kind that kernels read and write. */
const kept = ({ dtype, shape }: Spec) => dtype in FORMATS && fitsBlocks(dtype, shape.at(-1)!);
const typed = (inputs: readonly Spec[], types: readonly DType[]) => inputs.length === types.length && inputs.every(({ dtype }, i) => dtype === types[i]);

/** A page store [P, K, 64, H], of which a thread touches whole heads. */
function byHead(store: Ref): TaskOperand {
  const [pages, heads, , width] = store.spec.shape;
  return byColumns(store, pages, heads * PAGE_TOKENS * width, PAGE_TOKENS * width);
}

/**
 * Into how many units heads are divided. By key/value head, a thread appends, reads and attends
 * within its own and waits for nobody; but few such heads on many threads leave some idle.
 */
function headUnits(heads: number, keyHeads: number, threads: number): number {
  return keyHeads % threads === 0 || keyHeads >= 4 * threads ? keyHeads : heads;
}

const kvAppend: Lowering = {
  supports: (inputs) => kept(inputs[0]) && typed(inputs, [inputs[0].dtype, 'f32', 'i32', 'i32', 'i32']),
  lower({ inputs: [store, rows, positions, slots, table] }) {
    const [T, K, H] = rows.spec.shape;
    const [pages] = store.spec.shape;
    const [sequences, entries] = table.spec.shape;
    return [{
      kernel: Kernel.kv_append, rows: T, columns: K * H, grain: H, units: K, widthAt: [5, H], work: T * K * H,
      operands: [byBoth(rows, T, K * H), byRows(positions), byRows(slots), whole(table), written(byHead(store))],
      numbers: [K, H, entries, sequences, pages, 0, FORMATS[store.spec.dtype]!],
    }];
  },
};

/** Working memory of a thread: that of tiles (kernels/attention_tile.ts) or of lone tokens, whichever is more. */
function scratchBytes(H: number, D: number, integers: boolean): number {
  const sums = Math.ceil(D / 8) * 8;
  const pages = integers ? KEPT_PAGES + (KEPT_PAGES + 1) * PAGE_TOKENS * ((H + D) / 2 + 2) : 0;
  const tile = PAGE_TOKENS * (H + sums + TILE_ROWS) + TILE_ROWS * (H + sums + 6) + 3 * Math.max(H, sums) + pages;
  return 4 * Math.max(tile, HEADS_AT_ONCE * (PAGE_TOKENS + 4) + PAGE_TOKENS * Math.max(H, D));
}

/** Tiles of all groups of heads; see `shareTiles` of the kernel. */
function tileCount(T: number, N: number, K: number): number {
  const most = Math.min(N / K, TILE_HEADS);
  return Math.ceil(T / Math.floor(TILE_ROWS / most)) * K * Math.ceil(N / K / most);
}

const pagedAttention: Lowering = {
  supports: (inputs) => kept(inputs[1]) && kept(inputs[2]) && typed(inputs, ['f32', inputs[1].dtype, inputs[1].dtype, 'i32', 'i32', 'i32']),
  lower({ call, inputs: [q, k, v, positions, slots, table], outputs: [out] }, { threads }) {
    const { scale, valueDim: D, window = 0, chunk = 0, rounded = false } = call.attrs as AttentionAttrs & Attrs;
    const [T, N, H] = q.spec.shape;
    const [pages, K] = k.spec.shape;
    const V = lastAxis(v.spec);
    const [sequences, entries] = table.spec.shape;
    // By head without waiting where that divides evenly; else by tiles, of which a long prompt has plenty.
    const tiles = tileCount(T, N, K);
    const byTiles = K % threads !== 0 && tiles >= 4 * Math.max(threads, K);
    const integers = rounded && H <= WIDEST_ROUNDED && H % 8 === 0 && D % 8 === 0;
    const numbers = [N, K, H, V, D, entries, sequences, pages, window, chunk, 0, float(scale), FORMATS[k.spec.dtype]!, T, Number(byTiles), Number(integers)];
    const common = { kernel: Kernel.paged_attention, numbers, columns: N * D, work: elementCount(q.spec.shape) * PAGE_TOKENS * 16, scratch: scratchBytes(H, D, integers) };
    const task: Task = byTiles
      ? { ...common, rows: tiles, grain: N * D, operands: [...[q, k, v, positions, slots, table].map(whole), written(whole(out))] }
      : {
          ...common, rows: T, grain: D, units: headUnits(N, K, threads), widthAt: [10, D],
          operands: [
            byBoth(q, T, N * H), byHead(k), byHead(v), byRows(positions), byRows(slots), whole(table), written(byBoth(out, T, N * D)),
          ],
        };
    return [task];
  },
};

export const attention = { kv_append: kvAppend, paged_attention: pagedAttention };
