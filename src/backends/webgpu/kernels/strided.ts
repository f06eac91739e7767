// Float32 products of matrices that lie anywhere in their tensors, many of them at once: what batches
// of small matrices and parts of wider rows need. One large product is `product.ts`.

import type { Operand } from '../../../tensor/index.js';
import { count, float, scratch } from '../kernel.js';
import type { Dispatch } from '../kernel.js';

/** A [m, depth] or B [depth, n]: how far its neighbours are apart, and where the first one lies. */
export interface Side { readonly operand: Operand; readonly across: number; readonly depth: number; readonly batch: number; readonly start?: number }

export interface StridedProduct {
  readonly m: number; readonly n: number; readonly depth: number;
  readonly batches: number;
  readonly a: Side;
  readonly b: Side;
  /** Rows of `row` numbers (n without it), batches `batch` numbers apart (m n without it). Numbers between are left as they are. */
  readonly out: { readonly operand: Operand; readonly row?: number; readonly batch?: number; readonly start?: number };
  readonly alpha?: number;
  /** Laid out like `out`, times beta. */
  readonly addend?: Operand;
  readonly beta?: number;
  /** Scratch memory of the call from this index on is free. */
  readonly index?: number;
}

const GROUP = 256;
const TILE = 64;
/** So many workgroups keep a large GPU busy; a stretch of the depth is worth one from this on. */
const BUSY_GROUPS = 256;
const LEAST_STRETCH = 128;

/** The dispatches of a product, in order. Where there are few tiles, the depth is divided. */
export function stridedProduct(what: StridedProduct): Dispatch[] {
  const { m, n, depth, batches, out, index = 0 } = what;
  const tiles = Math.ceil(m / TILE) * Math.ceil(n / TILE) * batches;
  const plain = !what.addend && out.row === undefined && out.batch === undefined && !out.start;
  const parts = plain ? Math.max(1, Math.min(Math.floor(BUSY_GROUPS / tiles), Math.floor(depth / LEAST_STRETCH))) : 1;
  const stretch = Math.ceil(depth / parts / 16) * 16;
  const stretches = Math.max(1, Math.ceil(depth / stretch));
  if (stretches === 1) return [tiled(what, depth, 1, out.operand)];
  const partial = scratch(index, { shape: [stretches, batches, m, n], dtype: 'f32' });
  return [tiled(what, stretch, stretches, partial), ...sumRows(partial, out.operand, { rows: stretches, columns: batches * m * n, index: index + 1 })];
}

function tiled({ m, n, depth, batches, a, b, out, alpha = 1, addend, beta = 0 }: StridedProduct, stretch: number, stretches: number, to: Operand): Dispatch {
  return {
    source: 'strided_product', parameters: { ADDS: addend !== undefined, A_ACROSS: a.across === 1, B_ACROSS: b.across === 1 },
    writes: [to], reads: [a.operand, b.operand, ...(addend ? [addend] : [])],
    constants: [
      m, n, depth, stretch, a.across, a.depth, a.batch, a.start ?? 0, b.across, b.depth, b.batch, b.start ?? 0,
      out.row ?? n, out.batch ?? m * n, out.start ?? 0, batches, float(alpha), float(beta),
    ],
    groups: Math.ceil(m / TILE) * Math.ceil(n / TILE) * batches * stretches, group: GROUP,
  };
}

/** So few rows are added up in one step, and by a lane for each column. */
const FEW_ROWS = 64;
const ROWS_PER_LANE = 16;
/** Lanes that share a column where there are more. */
const DEEP_LANES = 8;

/** The sum over rows; in two steps where there are many, of about as many rows each. */
export function sumRows(x: Operand, out: Operand, { rows, columns, index = 0 }: { rows: number; columns: number; index?: number }): Dispatch[] {
  const sum = (from: Operand, to: Operand, count: number, chunk: number): Dispatch => {
    const DEEP = chunk > ROWS_PER_LANE ? DEEP_LANES : 1;
    return {
      source: 'sum_rows', parameters: { DEEP }, writes: [to], reads: [from], constants: [count, columns, chunk, float(1)],
      groups: Math.ceil(columns / (GROUP / DEEP)) * Math.ceil(count / chunk), group: GROUP,
    };
  };
  // Many columns keep the GPU busy by themselves.
  if (rows <= FEW_ROWS || columns >= 2 ** 16) return [sum(x, out, rows, Math.max(rows, 1))];
  const chunk = Math.ceil(Math.sqrt(rows));
  const chunks = Math.ceil(rows / chunk);
  const partial = scratch(index, { shape: [chunks, columns], dtype: 'f32' });
  return [sum(x, partial, rows, chunk), sum(partial, out, chunks, chunks)];
}

/** Numbers that one workgroup adds up. */
const REDUCED = 8192;

/** The sum of all numbers (or of their squares) times `factor`, as number `first` of `out`. */
export function reduceAll(x: Operand, out: Operand, { squares = false, factor = 1, first = 0, index = 0 } = {}): Dispatch[] {
  const n = count(x);
  const chunks = Math.max(1, Math.ceil(n / REDUCED));
  const reduce = (from: Operand, to: Operand, SQUARES: boolean, [numbers, chunk, place, by]: number[]): Dispatch => ({
    source: 'reduce_all', parameters: { SQUARES }, writes: [to], reads: [from], constants: [numbers, chunk, place, float(by)], groups: Math.ceil(numbers / chunk), group: GROUP,
  });
  if (chunks === 1) return [reduce(x, out, squares, [n, REDUCED, first, factor])];
  const partial = scratch(index, { shape: [chunks], dtype: 'f32' });
  return [reduce(x, partial, squares, [n, REDUCED, 0, 1]), reduce(partial, out, false, [chunks, chunks, first, factor])];
}
