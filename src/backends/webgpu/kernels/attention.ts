// Kernels over the paged key/value cache.

import { PAGE_TOKENS } from '../../../tensor/index.js';
import type { AttentionAttrs, Attrs, DType, Operand, Spec } from '../../../tensor/index.js';
import { count, LANES, typed } from '../kernel.js';
import type { Capabilities, Dispatch, Kernel, MatrixUnit } from '../kernel.js';
import { attentionConstants, freshAttention, isSplit, noPage, splitAttention } from './split_attention.js';

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

/** Whether pages are of a type that kernels read, and the other operands of the given ones. */
const stored = (pages: Spec, types: readonly DType[], others: readonly Spec[]): boolean => ['f32', 'f16'].includes(pages.dtype) && typed(types)(others);

/** Two f16 share a word, which one lane writes: a head's row must be whole words. */
const wholeWords = ({ dtype, shape }: Spec): boolean => dtype === 'f32' || shape[3] % 2 === 0;

/** The dispatch of rows that go to one store, or to two of the same shape. */
function append(stores: readonly Operand[], rows: readonly Operand[], [positions, slots, table]: readonly Operand[], fault: number): Dispatch {
  const HALF = stores[0].spec.dtype === 'f16';
  const PAIR = stores.length === 2;
  const words = HALF ? 2 : 1;
  const { shape } = rows[0].spec;
  const n = count(rows[0]) / words;
  return {
    source: 'kv_append', parameters: { HALF, PAIR, PAIR_OF_HALVES: PAIR && HALF, PAIR_OF_FLOATS: PAIR && !HALF }, writes: stores, reads: [...rows, positions, slots, table],
    constants: [n, n / shape[0], shape[2] / words, table.spec.shape[1], fault], groups: Math.ceil((stores.length * n) / LANES), group: LANES,
  };
}

const kvAppend: Kernel = {
  accepts: ([store, ...rest]) => stored(store, ['f32', 'i32', 'i32', 'i32'], rest) && wholeWords(store),
  dispatch: ({ inputs: [store, rows, ...step] }, fault) => append([store], [rows], step, fault),
  fault: noPage,
};

const kvAppendPair: Kernel = {
  accepts: ([k, v, ...rest]) => stored(k, ['f32', 'f32', 'i32', 'i32', 'i32'], rest) && wholeWords(k) && k.dtype === v.dtype && k.shape.join() === v.shape.join(),
  dispatch: ({ inputs: [k, v, kRows, vRows, ...step] }, fault) => append([k, v], [kRows, vRows], step, fault),
  fault: noPage,
};

const pagedAttention: Kernel = {
  accepts: ([q, k, v, ...rest]) => k.dtype === v.dtype && stored(k, ['f32', 'i32', 'i32', 'i32'], [q, ...rest]),
  dispatch(call, fault, device) {
    const { inputs: [q, k, v, , , table], attrs } = call;
    const [tokens, heads, width] = q.spec.shape;
    const { valueDim } = attrs as AttentionAttrs & Attrs;
    const parameters = { HEAD: width, VALUE: valueDim, HALF: k.spec.dtype === 'f16' };
    const constants = attentionConstants({ q, k, v, table }, attrs, fault);
    if (isSplit(q.spec, v.spec, table.spec, attrs)) return splitAttention(call, fault, device);
    const wide = [width, valueDim, v.spec.shape[3]].every((n) => n % 4 === 0) && valueDim <= 4 * WIDE_LANES;
    const shared = { parameters, writes: call.outputs, reads: call.inputs, constants };
    const many = wide && tokens >= TOKENS_PER_SEQUENCE * table.spec.shape[0];
    if (many && device.matrix && fitsMatrixUnits(width, valueDim, device.matrix, device)) {
      const { subgroup, strideInNumbers } = device.matrix;
      return {
        ...shared, source: 'paged_attention_matrix', parameters: {
          ...shared.parameters, SUBGROUP: subgroup, STRIDE_UNIT: strideInNumbers ? 4 : 1, KEY_UNITS: width / UNIT, VALUE_UNITS: valueDim / UNIT, PAGE_LOADS: PAGE_TOKENS / MATRIX_SUBGROUPS,
        },
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

export const attentionKernels: Readonly<Record<string, Kernel>> = { kv_append: kvAppend, kv_append_pair: kvAppendPair, paged_attention: pagedAttention, rms_norm_rope_attention: freshAttention };
