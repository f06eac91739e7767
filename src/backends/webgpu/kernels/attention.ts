// Kernels over the paged key/value cache.

import { PAGE_TOKENS } from '../../../tensor/index.js';
import type { AttentionAttrs, Attrs, Call, DType, Operand, Spec } from '../../../tensor/index.js';
import { count, float, LANES, scratch, typed } from '../kernel.js';
import type { Capabilities, Dispatch, Kernel, MatrixUnit } from '../kernel.js';
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

const SPLIT_LANES = 128;
const MERGE_LANES = 256;
/** Pieces of eight numbers of a key that one lane takes, about: as many loads can be under way. */
const KEY_PIECES = 4;
const MOST_SPLITS = 128;
/** Query heads that a workgroup serves: their queries and scores must fit its memory, their sums its registers. */
const MOST_SHARE = 4;
const MOST_SHARE_BYTES = 12800;
/** Query heads that share a workgroup, of those that share a key head. */
function shareOf({ shape: [, heads] }: Spec, kvHeads: number, most: number): number {
  const grouped = heads / kvHeads;
  let share = Math.max(1, Math.min(MOST_SHARE, grouped, most));
  while (grouped % share !== 0) share--;
  return share;
}

/** Parts of the positions that a token sees. */
const splitsOf = ({ shape: [tokens, heads] }: Spec, share: number, { busyGroups }: Capabilities): number =>
  Math.min(MOST_SPLITS, 2 ** Math.ceil(Math.log2(Math.max(1, busyGroups / ((tokens * heads) / share)))));

/** Where the splits of `items` heads leave what they found, and the dispatch that puts it together. */
const partsOf = (items: number, splits: number, valueDim: number): Operand => scratch(0, { shape: [items, splits, valueDim + 4], dtype: 'f32' });

function mergeOf(parts: Operand, out: Operand, splits: number, fault: number, { fresh, subgroupLanes }: { fresh: boolean; subgroupLanes: number }): Dispatch {
  const [items, , width] = parts.spec.shape;
  return {
    source: 'paged_attention_merge', parameters: { VALUE: width - 4, SPLITS: splits, FRESH: fresh, SUBGROUP: subgroupLanes, SUBGROUPS: subgroupLanes > 1 }, writes: [out], reads: [parts],
    constants: [items, fault], groups: items, group: MERGE_LANES, reports: fresh,
  };
}

function splitAttention({ inputs, outputs: [out], attrs }: Call, fault: number, device: Capabilities): readonly Dispatch[] {
  const [q, k, v, , , table] = inputs;
  const { valueDim } = attrs as AttentionAttrs & Attrs;
  const { subgroupLanes } = device;
  const [tokens, heads, width] = q.spec.shape;
  const SHARE = shareOf(q.spec, k.spec.shape[1], Math.floor(MOST_SHARE_BYTES / (4 * (width + SPLIT_LANES))));
  const SPLITS = splitsOf(q.spec, SHARE, device);
  const parts = SPLITS === 1 ? out : partsOf(tokens * heads, SPLITS, valueDim);
  const [EIGHTS, ROWS] = [width / 8, Math.floor(SPLIT_LANES / (valueDim / 4))];
  // Lanes that share a key: a power of two.
  const TEAM = 2 ** Math.floor(Math.log2(Math.max(1, Math.min(EIGHTS / KEY_PIECES, SPLIT_LANES / 4))));
  const TILE = SPLIT_LANES / TEAM;
  const SUBGROUPS = subgroupLanes >= TEAM && subgroupLanes <= SPLIT_LANES;
  const split: Dispatch = {
    source: 'paged_attention_split', parameters: {
      HEAD: width, VALUE: valueDim, HALF: k.spec.dtype === 'f16', SHARE, SPLITS, TEAM, STEPS: Math.ceil(EIGHTS / TEAM), LOADS: Math.ceil(TILE / ROWS), SUBGROUP: subgroupLanes, SUBGROUPS, PARTS: SUBGROUPS ? SPLIT_LANES / subgroupLanes : TILE,
    }, writes: [parts], reads: inputs, constants: attentionConstants({ q, k, v, table }, attrs, fault),
    groups: ((tokens * heads) / SHARE) * SPLITS, group: SPLIT_LANES,
  };
  return SPLITS === 1 ? [split] : [split, mergeOf(parts, out, SPLITS, fault, { fresh: false, subgroupLanes })];
}

/** Storage buffers that fresh_attention binds. */
const FRESH_BUFFERS = 12;
/** A lane computes the rotation of one pair of numbers there. */
const WIDEST_FRESH = 2 * SPLIT_LANES;
/** Positions that it takes at a time. */
const [LEAST_TILE, MOST_TILE] = [8, 16];

interface FreshShape { readonly q: Spec; readonly kvHeads: number; readonly valueDim: number; readonly half: boolean }

/** How fresh_attention shares the work; undefined where its workgroup memory would not do. */
function freshDeal({ q, kvHeads, valueDim, half }: FreshShape, device: Capabilities): { readonly share: number; readonly tile: number; readonly splits: number } | undefined {
  const width = q.shape[2];
  const share = shareOf(q, kvHeads, MOST_SHARE);
  const bytesOf = (tile: number) => 4 * (share + 2) * width + tile * ((half ? 2 : 4) * (width + valueDim) + 16 + 4 * share) + 4 * SPLIT_LANES;
  let tile = MOST_TILE;
  while (tile > LEAST_TILE && bytesOf(tile) > device.workgroupBytes) tile /= 2;
  return bytesOf(tile) <= device.workgroupBytes ? { share, tile, splits: splitsOf(q, share, device) } : undefined;
}

const freshAttention: Kernel = {
  accepts(inputs, attrs, device) {
    const [q, k, , , , , , values, , , table] = inputs;
    const { valueDim } = attrs as AttentionAttrs & Attrs;
    if (device.storageBuffers < FRESH_BUFFERS || !rowKernels.rms_norm_rope_append.accepts(inputs, attrs, device) || !isSplit(q, values, table, attrs)) return false;
    // With one part alone nothing comes behind it that could report a missing page.
    const deal = freshDeal({ q, kvHeads: k.shape[1], valueDim, half: values.dtype === 'f16' }, device);
    return q.shape[2] <= WIDEST_FRESH && values.shape[3] === valueDim && deal !== undefined && deal.splits > 1;
  },
  dispatch({ inputs: [q, rows, qWeight, kWeight, positions, frequencies, k, v, vRows, slots, table], outputs: [out], attrs }, fault, device) {
    const { layout, amplitude, inverse, eps, offset, valueDim } = attrs as AttentionAttrs & HeadNorm & Attrs;
    const [tokens, heads, width] = q.spec.shape;
    const HALF = k.spec.dtype === 'f16';
    const { share: SHARE, tile: TILE, splits: SPLITS } = freshDeal({ q: q.spec, kvHeads: rows.spec.shape[1], valueDim, half: HALF }, device)!;
    const { subgroupLanes } = device;
    const SUBGROUPS = subgroupLanes > 1;
    // Each query head that shares a workgroup has lanes of its own, and the key.
    const HEAD_LANES = Math.min(SPLIT_LANES / 2 ** Math.ceil(Math.log2(SHARE + 1)), SUBGROUPS ? subgroupLanes : SPLIT_LANES);
    const keyWords = width / (HALF ? 8 : 4);
    const parts = partsOf(tokens * heads, SPLITS, valueDim);
    const split: Dispatch = {
      source: 'fresh_attention', parameters: {
        HEAD: width, VALUE: valueDim, HALF, SHARE, SPLITS, TILE, SUBGROUPS, HEAD_LANES, HEAD_PAIRS: Math.ceil(width / 2 / HEAD_LANES), INTERLEAVED: layout === 'interleaved',
        KEY_LOADS: Math.ceil((TILE * keyWords) / SPLIT_LANES), VALUE_LOADS: Math.ceil((TILE * valueDim) / 4 / SPLIT_LANES), CHAINS: [4, 2, 1].find((n) => keyWords % n === 0)!, ITEMS: Math.ceil((SHARE * valueDim) / 4 / SPLIT_LANES),
      },
      writes: [parts, k, v], reads: [q, rows, vRows, qWeight, kWeight, positions, frequencies, slots, table],
      constants: [...attentionConstants({ q, k, v, table }, attrs, fault), frequencies.spec.shape[0], float(eps), float(offset), float(amplitude), float(inverse ? -1 : 1)],
      groups: ((tokens * heads) / SHARE) * SPLITS, group: SPLIT_LANES, reports: false,
    };
    return [split, mergeOf(parts, out, SPLITS, fault, { fresh: true, subgroupLanes })];
  },
  fault: noPage,
};

export const attentionKernels: Readonly<Record<string, Kernel>> = { kv_append: kvAppend, kv_append_pair: kvAppendPair, paged_attention: pagedAttention, rms_norm_rope_attention: freshAttention };
