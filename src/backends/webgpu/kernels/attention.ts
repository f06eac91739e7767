// Kernels over the paged key/value cache.

import { PAGE_TOKENS } from '../../../tensor/index.js';
import type { Attrs, DType, Mask, Spec } from '../../../tensor/index.js';
import { count, float, LANES, typed } from '../kernel.js';
import type { Capabilities, Kernel, MatrixUnit } from '../kernel.js';

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

/** On matrix units: subgroups of a workgroup, each with as many tokens as a unit has rows. */
const MATRIX_SUBGROUPS = 4;
const UNIT = 16;

/** Whether heads are whole units, each row fits a subgroup four numbers a lane, and a page of them workgroup memory. */
function fitsMatrixUnits(width: number, valueDim: number, { m, n, k, subgroup, vectors, attention }: MatrixUnit, { workgroupBytes }: Capabilities): boolean {
  const rows = MATRIX_SUBGROUPS * UNIT;
  const bytes = rows * (2 * (Math.max(width, valueDim) + 8) + 4 * (PAGE_TOKENS + 4) + 2 * (PAGE_TOKENS + 8)) + 4 * (rows + 2 * PAGE_TOKENS) + 16;
  return attention && vectors && [m, n, k].every((extent) => extent === UNIT) && [width, valueDim].every((n) => n % UNIT === 0 && n <= 4 * subgroup) && bytes <= workgroupBytes;
}

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
  dispatch({ inputs, outputs, attrs }, fault, device) {
    const [q, k, v, , , table] = inputs;
    const [tokens, heads, width] = q.spec.shape;
    const { scale, valueDim, window = 0, chunk = 0 } = attrs as { scale: number; valueDim: number } & Mask & Attrs;
    const wide = [width, valueDim, v.spec.shape[3]].every((n) => n % 4 === 0) && valueDim <= 4 * WIDE_LANES;
    const shared = {
      parameters: { HEAD: width, VALUE: valueDim, HALF: k.spec.dtype === 'f16' }, writes: outputs, reads: inputs,
      constants: [tokens, heads, k.spec.shape[1], v.spec.shape[3], table.spec.shape[1], window, chunk, fault, float(scale)],
    };
    const many = wide && tokens >= TOKENS_PER_SEQUENCE * table.spec.shape[0];
    if (many && device.matrix && fitsMatrixUnits(width, valueDim, device.matrix, device)) {
      const { subgroup, strideInNumbers } = device.matrix;
      return {
        ...shared, source: 'paged_attention_matrix', parameters: { ...shared.parameters, SUBGROUP: subgroup, STRIDE_UNIT: strideInNumbers ? 4 : 1 },
        groups: Math.ceil(tokens / (MATRIX_SUBGROUPS * UNIT)) * heads, group: MATRIX_SUBGROUPS * subgroup,
      };
    }
    if (many && valueDim <= WIDEST_TILED_VALUE) {
      const VALUE_ROWS = 2 ** Math.min(6, Math.floor(Math.log2(STAGE_VECTORS / (valueDim / 4))));
      return { ...shared, source: 'paged_attention_tiled', parameters: { ...shared.parameters, VALUE_ROWS }, groups: Math.ceil(tokens / TILE_TOKENS) * heads, group: TILE_LANES };
    }
    return { ...shared, source: wide ? 'paged_attention_wide' : 'paged_attention', groups: tokens * heads, group: wide ? WIDE_LANES : LANES };
  },
  fault: noPage,
};

export const attentionKernels: Readonly<Record<string, Kernel>> = { kv_append: kvAppend, paged_attention: pagedAttention };
