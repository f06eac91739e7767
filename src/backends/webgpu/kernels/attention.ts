// Kernels over the paged key/value cache.

import type { Attrs, DType, Mask, Spec } from '../../../tensor/index.js';
import { count, float, LANES, typed } from '../kernel.js';
import type { Kernel } from '../kernel.js';

/** Positions that the wide kernel weighs at a time. */
const WIDE_LANES = 256;
/** Tokens of one head in a tile, and the lanes that compute it. */
const TILE_TOKENS = 32;
const TILE_LANES = 128;
/** The tiled kernel pays where tiles are full of one sequence's tokens, and its sums fit registers. */
const TOKENS_PER_SEQUENCE = 16;
const WIDEST_TILED_VALUE = 512;
/** Vectors of four in 4 KiB, where the tiled kernel keeps keys and values by turns. */
const STAGE_VECTORS = 256;

const noPage = (position: number): string => `no page for position ${position}`;

/** Whether pages are of a type that kernels read, and the other operands of the given ones. */
const stored = (pages: Spec, types: readonly DType[], others: readonly Spec[]): boolean => ['f32', 'f16'].includes(pages.dtype) && typed(types)(others);

const kvAppend: Kernel = {
  // Two f16 share a word, which one lane writes: a head's row must be whole words.
  accepts: (inputs) => stored(inputs[0], ['f32', 'i32', 'i32', 'i32'], inputs.slice(1)) && (inputs[0].dtype === 'f32' || inputs[0].shape[3] % 2 === 0),
  dispatch({ inputs: [store, ...rest] }, fault) {
    const [rows, , , table] = rest;
    const half = store.spec.dtype === 'f16';
    const words = half ? 2 : 1;
    const n = count(rows) / words;
    return {
      source: 'kv_append', parameters: { HALF: half }, writes: [store], reads: rest, constants: [n, n / rows.spec.shape[0], rows.spec.shape[2] / words, table.spec.shape[1], fault],
      groups: Math.ceil(n / LANES), group: LANES,
    };
  },
  fault: noPage,
};

const pagedAttention: Kernel = {
  accepts: ([q, k, v, ...rest]) => k.dtype === v.dtype && stored(k, ['f32', 'i32', 'i32', 'i32'], [q, ...rest]),
  dispatch({ inputs, outputs, attrs }, fault) {
    const [q, k, v, , , table] = inputs;
    const [tokens, heads, width] = q.spec.shape;
    const { scale, valueDim, window = 0, chunk = 0 } = attrs as { scale: number; valueDim: number } & Mask & Attrs;
    const wide = [width, valueDim, v.spec.shape[3]].every((n) => n % 4 === 0) && valueDim <= 4 * WIDE_LANES;
    const shared = {
      parameters: { HEAD: width, VALUE: valueDim, HALF: k.spec.dtype === 'f16' }, writes: outputs, reads: inputs,
      constants: [tokens, heads, k.spec.shape[1], v.spec.shape[3], table.spec.shape[1], window, chunk, fault, float(scale)],
    };
    if (wide && valueDim <= WIDEST_TILED_VALUE && tokens >= TOKENS_PER_SEQUENCE * table.spec.shape[0]) {
      const VALUE_ROWS = 2 ** Math.min(6, Math.floor(Math.log2(STAGE_VECTORS / (valueDim / 4))));
      return { ...shared, source: 'paged_attention_tiled', parameters: { ...shared.parameters, VALUE_ROWS }, groups: Math.ceil(tokens / TILE_TOKENS) * heads, group: TILE_LANES };
    }
    return { ...shared, source: wide ? 'paged_attention_wide' : 'paged_attention', groups: tokens * heads, group: wide ? WIDE_LANES : LANES };
  },
  fault: noPage,
};

export const attentionKernels: Readonly<Record<string, Kernel>> = { kv_append: kvAppend, paged_attention: pagedAttention };
