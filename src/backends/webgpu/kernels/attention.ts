// Kernels over the paged key/value cache.

import { PAGE_TOKENS } from '../../../tensor/index.js';
import type { AttentionAttrs, Attrs, DType, Operand, Spec } from '../../../tensor/index.js';
import { count, float, LANES, scratch, typed } from '../kernel.js';
import type { Capabilities, Dispatch, Kernel, MatrixUnit } from '../kernel.js';
import type { Parameters } from '../template.js';
import { rowKernels } from './rows.js';
import type { HeadNorm } from './rows.js';

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

/** The first constants of all kernels over pages. */
function attentionConstants({ q, k, v, table }: Readonly<Record<'q' | 'k' | 'v' | 'table', Operand>>, attrs: Attrs, fault: number): number[] {
  const { scale, window = 0, chunk = 0 } = attrs as AttentionAttrs & Attrs;
  const [tokens, heads] = q.spec.shape;
  return [tokens, heads, k.spec.shape[1], v.spec.shape[3], table.spec.shape[1], window, chunk, fault, float(scale)];
}

/** Whether there is one token of each sequence, so that no two of them read the same keys, and the heads fit the split kernel. */
function isSplit(q: Spec, v: Spec, table: Spec, attrs: Attrs): boolean {
  const { valueDim } = attrs as AttentionAttrs & Attrs;
  return q.shape[0] === table.shape[0] && q.shape[2] % 8 === 0 && valueDim % 4 === 0 && v.shape[3] % 4 === 0 && valueDim <= 4 * SPLIT_LANES;
}

const pagedAttention: Kernel = {
  accepts: ([q, k, v, ...rest]) => k.dtype === v.dtype && stored(k, ['f32', 'i32', 'i32', 'i32'], [q, ...rest]),
  dispatch(call, fault, device) {
    const { inputs: [q, k, v, , , table], attrs } = call;
    const [tokens, heads, width] = q.spec.shape;
    const { valueDim } = attrs as AttentionAttrs & Attrs;
    const parameters = { HEAD: width, VALUE: valueDim, HALF: k.spec.dtype === 'f16' };
    const constants = attentionConstants({ q, k, v, table }, attrs, fault);
    if (isSplit(q.spec, v.spec, table.spec, attrs)) return splitAttention({ q, k, out: call.outputs[0], reads: call.inputs, writes: [], parameters, constants }, device);
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

const SPLIT_LANES = 128;
const MERGE_LANES = 256;
/** Pieces of eight numbers of a key that one lane takes, about: as many loads can be under way. */
const KEY_PIECES = 4;
const MOST_SPLITS = 128;
/** Query heads that a workgroup serves: their queries and scores must fit its memory, their sums its registers. */
const MOST_SHARE = 4;
const MOST_SHARE_BYTES = 12800;
/** Workgroup memory of the split kernel beside queries: sums, weights, rows of the store. */
const SPLIT_BYTES = 10240;

/** Query heads that share a workgroup. */
function shareOf(q: Spec, kvHeads: number): number {
  const [, heads, width] = q.shape;
  const grouped = heads / kvHeads;
  let share = Math.min(MOST_SHARE, grouped, Math.max(1, Math.floor(MOST_SHARE_BYTES / (4 * (width + SPLIT_LANES)))));
  while (grouped % share !== 0) share--;
  return share;
}

/** Parts of the positions that a token sees. */
const splitsOf = ({ shape: [tokens, heads] }: Spec, share: number, { busyGroups }: Capabilities): number =>
  Math.min(MOST_SPLITS, 2 ** Math.ceil(Math.log2(Math.max(1, busyGroups / ((tokens * heads) / share)))));

/** Decoding's attention: what it attends with, where the result goes, and what the kernel binds beside the parts. */
interface Split {
  readonly q: Operand;
  readonly k: Operand;
  readonly out: Operand;
  readonly reads: readonly Operand[];
  readonly writes: readonly Operand[];
  readonly parameters: Readonly<{ HEAD: number; VALUE: number; HALF: boolean }> & Parameters;
  readonly constants: readonly number[];
}

function splitAttention({ q, k, out, reads, writes, parameters, constants }: Split, device: Capabilities): readonly Dispatch[] {
  const { subgroupLanes } = device;
  const FRESH = writes.length > 0;
  const [tokens, heads, width] = q.spec.shape;
  const SHARE = shareOf(q.spec, k.spec.shape[1]);
  const sets = (tokens * heads) / SHARE;
  const SPLITS = splitsOf(q.spec, SHARE, device);
  const items = tokens * heads;
  const parts = SPLITS === 1 ? out : scratch(0, { shape: [items, SPLITS, parameters.VALUE + 4], dtype: 'f32' });
  const [EIGHTS, ROWS] = [width / 8, Math.floor(SPLIT_LANES / (parameters.VALUE / 4))];
  // Lanes that share a key: a power of two.
  const TEAM = 2 ** Math.floor(Math.log2(Math.max(1, Math.min(EIGHTS / KEY_PIECES, SPLIT_LANES / 4))));
  const TILE = SPLIT_LANES / TEAM;
  const SUBGROUPS = subgroupLanes >= TEAM && subgroupLanes <= SPLIT_LANES;
  const split: Dispatch = {
    source: 'paged_attention_split', parameters: {
      ...parameters, FRESH, SHARE, SPLITS, TEAM, STEPS: Math.ceil(EIGHTS / TEAM), LOADS: Math.ceil(TILE / ROWS), SUBGROUP: subgroupLanes, SUBGROUPS, PARTS: SUBGROUPS ? SPLIT_LANES / subgroupLanes : TILE,
    }, writes: [parts, ...writes], reads, constants,
    groups: sets * SPLITS, group: SPLIT_LANES, reports: !FRESH,
  };
  const merge: Dispatch = {
    source: 'paged_attention_merge', parameters: { VALUE: parameters.VALUE, SPLITS, FRESH, SUBGROUP: subgroupLanes, SUBGROUPS: subgroupLanes > 1 }, writes: [out], reads: [parts],
    constants: [items, constants[7]], groups: items, group: MERGE_LANES, reports: FRESH,
  };
  return SPLITS === 1 ? [split] : [split, merge];
}

/** Storage buffers that the split kernel binds where it takes rows as they come from their products. */
const FRESH_BUFFERS = 12;

const freshAttention: Kernel = {
  accepts(inputs, attrs, device) {
    const [q, k, , , , , , values, , , table] = inputs;
    if (device.storageBuffers < FRESH_BUFFERS || !rowKernels.rms_norm_rope_append.accepts(inputs, attrs, device) || !isSplit(q, values, table, attrs)) return false;
    const share = shareOf(q, k.shape[1]);
    // With one part alone nothing comes behind it that could report a missing page.
    return 4 * (2 * share + 1) * q.shape[2] + SPLIT_BYTES <= device.workgroupBytes && splitsOf(q, share, device) > 1;
  },
  dispatch({ inputs: [q, rows, qWeight, kWeight, positions, frequencies, k, v, vRows, slots, table], outputs: [out], attrs }, fault, device) {
    const { layout, amplitude, inverse, eps, offset, valueDim } = attrs as AttentionAttrs & HeadNorm & Attrs;
    const HEAD_SLOTS = 2 ** Math.ceil(Math.log2(shareOf(q.spec, k.spec.shape[1]) + 1));
    return splitAttention({
      q, k, out, reads: [q, rows, vRows, qWeight, kWeight, positions, frequencies, slots, table], writes: [k, v],
      parameters: { HEAD: q.spec.shape[2], VALUE: valueDim, HALF: k.spec.dtype === 'f16', HEAD_SLOTS, INTERLEAVED: layout === 'interleaved' },
      constants: [...attentionConstants({ q, k, v, table }, attrs, fault), frequencies.spec.shape[0], float(eps), float(offset), float(amplitude), float(inverse ? -1 : 1)],
    }, device);
  },
  fault: noPage,
};

export const attentionKernels: Readonly<Record<string, Kernel>> = { kv_append: kvAppend, kv_append_pair: kvAppendPair, paged_attention: pagedAttention, rms_norm_rope_attention: freshAttention };
