// Attention of decoding, one token of each sequence: the positions that it sees are divided over workgroups, and
// what those find is put together.

import { byteLength, PAGE_TOKENS } from '../../../tensor/index.js';
import type { AttentionAttrs, Attrs, Call, Operand, Spec } from '../../../tensor/index.js';
import { float, scratch } from '../kernel.js';
import type { Capabilities, Dispatch, Kernel } from '../kernel.js';
import { rowKernels } from './rows.js';
import type { HeadNorm } from './rows.js';

export const noPage = (position: number): string => `no page for position ${position}`;

/** The first constants of all kernels over pages. */
export function attentionConstants({ q, k, v, table }: Readonly<Record<'q' | 'k' | 'v' | 'table', Operand>>, attrs: Attrs, fault: number): number[] {
  const { scale, window = 0, chunk = 0 } = attrs as AttentionAttrs & Attrs;
  const [tokens, heads] = q.spec.shape;
  return [tokens, heads, k.spec.shape[1], v.spec.shape[3], table.spec.shape[1], window, chunk, fault, float(scale)];
}

const SPLIT_LANES = 128;

/** Whether there is one token of each sequence, so that no two of them read the same keys, and the heads fit the split kernel. */
export function isSplit(q: Spec, v: Spec, table: Spec, attrs: Attrs): boolean {
  const { valueDim } = attrs as AttentionAttrs & Attrs;
  return q.shape[0] === table.shape[0] && q.shape[2] % 8 === 0 && valueDim % 4 === 0 && v.shape[3] % 4 === 0 && valueDim <= 4 * SPLIT_LANES;
}

const MERGE_LANES = 256;
/** Pieces of eight numbers of a key that one lane takes, about: as many loads can be under way. */
const KEY_PIECES = 4;
const MOST_SPLITS = 128;
const MANY_READERS = 8;
/** Query heads that a workgroup serves: their queries and scores must fit its memory, their sums its registers. */
const MOST_SHARE = 4;
const MOST_SHARE_BYTES = 12800;
/** Workgroup memory of part_walk beside queries: sums, weights, rows of the store. */
const WALK_BYTES = 8192;

/** Query heads that share a workgroup, of those that share a key head. */
function shareOf({ shape: [, heads] }: Spec, kvHeads: number, most: number): number {
  const grouped = heads / kvHeads;
  let share = Math.max(1, Math.min(MOST_SHARE, grouped, most));
  while (grouped % share !== 0) share--;
  return share;
}

/** Parts of the positions that a token sees: twice as many where so many workgroups read the same keys (MLA) that most find them in a cache. */
function splitsOf({ shape: [tokens, heads] }: Spec, kvHeads: number, share: number, { busyGroups }: Capabilities): number {
  const groups = heads / kvHeads / share >= MANY_READERS ? 2 * busyGroups : busyGroups;
  return Math.min(MOST_SPLITS, 2 ** Math.ceil(Math.log2(Math.max(1, groups / ((tokens * heads) / share)))));
}

/** Where the splits of `items` heads leave what they found, and the dispatch that puts it together. */
const partsOf = (items: number, splits: number, valueDim: number): Operand => scratch(0, { shape: [items, splits, valueDim + 4], dtype: 'f32' });

function mergeOf(parts: Operand, out: Operand, splits: number, fault: number, { fresh, subgroupLanes }: { fresh: boolean; subgroupLanes: number }): Dispatch {
  const [items, , width] = parts.spec.shape;
  return {
    source: 'paged_attention_merge', parameters: { VALUE: width - 4, SPLITS: splits, FRESH: fresh, SUBGROUP: subgroupLanes, SUBGROUPS: subgroupLanes > 1 }, writes: [out], reads: [parts],
    constants: [items, fault], groups: items, group: MERGE_LANES, reports: fresh,
  };
}

/** How part_walk shares a part between lanes. */
function walkOf(width: number, valueDim: number, subgroupLanes: number) {
  const [EIGHTS, ROWS] = [width / 8, Math.floor(SPLIT_LANES / (valueDim / 4))];
  // Lanes that share a key: a power of two.
  const TEAM = 2 ** Math.floor(Math.log2(Math.max(1, Math.min(EIGHTS / KEY_PIECES, SPLIT_LANES / 4))));
  const SUBGROUPS = subgroupLanes >= TEAM && subgroupLanes <= SPLIT_LANES;
  return {
    HEAD: width, VALUE: valueDim, TEAM, STEPS: Math.ceil(EIGHTS / TEAM), LOADS: Math.ceil(SPLIT_LANES / TEAM / ROWS),
    SUBGROUP: subgroupLanes, SUBGROUPS, PARTS: SPLIT_LANES / (SUBGROUPS ? subgroupLanes : TEAM),
  };
}

/** paged_attention where `isSplit`. */
export function splitAttention({ inputs, outputs: [out], attrs }: Call, fault: number, device: Capabilities): readonly Dispatch[] {
  const [q, k, v, , , table] = inputs;
  const { valueDim } = attrs as AttentionAttrs & Attrs;
  const { subgroupLanes } = device;
  const [tokens, heads, width] = q.spec.shape;
  const SHARE = shareOf(q.spec, k.spec.shape[1], Math.floor(MOST_SHARE_BYTES / (4 * (width + SPLIT_LANES))));
  const SPLITS = splitsOf(q.spec, k.spec.shape[1], SHARE, device);
  const parts = SPLITS === 1 ? out : partsOf(tokens * heads, SPLITS, valueDim);
  const split: Dispatch = {
    source: 'paged_attention_split', parameters: { ...walkOf(width, valueDim, subgroupLanes), HALF: k.spec.dtype === 'f16', SHARE, SPLITS },
    writes: [parts], reads: inputs, constants: attentionConstants({ q, k, v, table }, attrs, fault),
    groups: ((tokens * heads) / SHARE) * SPLITS, group: SPLIT_LANES,
  };
  return SPLITS === 1 ? [split] : [split, mergeOf(parts, out, SPLITS, fault, { fresh: false, subgroupLanes })];
}

/** Storage buffers that kernels bind which take rows as they come from their products. */
const FRESH_BUFFERS = 12;
/** Pages for each sequence up to which fresh_attention is faster than fresh_walk. */
const SHORT_PAGES = 64;
/** Positions that fresh_attention takes at a time, and how often, at least, if all pages of a sequence are in use. */
const [LEAST_TILE, MOST_TILE] = [8, 16];
const LEAST_TURNS = 2;

interface FreshDeal { readonly SHARE: number; readonly SPLITS: number; readonly TILE?: number }

/** How kernels that take rows as they come from their products share the work, fresh_attention if there is a TILE; undefined where neither can. */
function freshDeal(q: Spec, kvHeads: number, { shape: [pages], dtype }: Spec, device: Capabilities): FreshDeal | undefined {
  const [tokens, , width] = q.shape;
  const SHARE = shareOf(q, kvHeads, MOST_SHARE);
  const most = splitsOf(q, kvHeads, SHARE, device);
  const memory = 4 * (SHARE + 2) * width + 4 * SPLIT_LANES;
  const short = pages / tokens <= SHORT_PAGES;
  const TILE = short ? [MOST_TILE, LEAST_TILE].find((tile) => memory + tile * (byteLength({ shape: [2 * width], dtype }) + 16 + 4 * SHARE) <= device.workgroupBytes) : undefined;
  // With one part alone nothing would come behind it that could report a missing page.
  if (most === 1 || (!TILE && memory + WALK_BYTES > device.workgroupBytes)) return undefined;
  return TILE ? { SHARE, TILE, SPLITS: Math.min(most, Math.max(2, 2 ** Math.ceil(Math.log2((pages / tokens) * (PAGE_TOKENS / TILE / LEAST_TURNS))))) } : { SHARE, SPLITS: most };
}

export const freshAttention: Kernel = {
  accepts(inputs, attrs, device) {
    const [q, k, , , , , , v, , , table] = inputs;
    const [, , width] = q.shape;
    return device.storageBuffers >= FRESH_BUFFERS && rowKernels.rms_norm_rope_append.accepts(inputs, attrs, device) && isSplit(q, v, table, attrs)
      && v.shape[3] === width && (attrs as AttentionAttrs & Attrs).valueDim === width && freshDeal(q, k.shape[1], v, device) !== undefined;
  },
  dispatch({ inputs: [q, rows, qWeight, kWeight, positions, frequencies, k, v, vRows, slots, table], outputs: [out], attrs }, fault, device) {
    const { layout, amplitude, inverse, eps, offset } = attrs as AttentionAttrs & HeadNorm & Attrs;
    const [tokens, heads, width] = q.spec.shape;
    const { subgroupLanes } = device;
    const HALF = v.spec.dtype === 'f16';
    const { SHARE, SPLITS, TILE } = freshDeal(q.spec, rows.spec.shape[1], v.spec, device)!;
    const walk = walkOf(width, width, subgroupLanes);
    // Each query head that shares a workgroup has lanes of its own, and the key.
    const HEAD_LANES = Math.min(SPLIT_LANES / 2 ** Math.ceil(Math.log2(SHARE + 1)), walk.SUBGROUPS ? subgroupLanes : SPLIT_LANES);
    const parts = partsOf(tokens * heads, SPLITS, width);
    const turns = (items: number) => Math.ceil(items / SPLIT_LANES);
    const [columns, keyWords] = [width / 4, width / (HALF ? 8 : 4)];
    const tiled = TILE && { TILE, KEY_LOADS: turns(TILE * keyWords), VALUE_LOADS: turns(TILE * columns), CHAINS: [4, 2, 1].find((n) => keyWords % n === 0)!, ITEMS: turns(SHARE * columns) };
    const split: Dispatch = {
      source: TILE ? 'fresh_attention' : 'fresh_walk', parameters: {
        ...walk, ...tiled, HALF, INTERLEAVED: layout === 'interleaved', SHARE, SPLITS, HEAD_LANES, HEAD_PAIRS: Math.ceil(width / 2 / HEAD_LANES), FOURS: turns(columns), FREQUENCIES: turns(width / 2),
      },
      writes: [parts, k, v], reads: [q, rows, vRows, qWeight, kWeight, positions, frequencies, slots, table],
      constants: [...attentionConstants({ q, k, v, table }, attrs, fault), frequencies.spec.shape[0], float(eps), float(offset), float(amplitude), float(inverse ? -1 : 1)],
      groups: ((tokens * heads) / SHARE) * SPLITS, group: SPLIT_LANES, reports: false,
    };
    return [split, mergeOf(parts, out, SPLITS, fault, { fresh: true, subgroupLanes })];
  },
  fault: noPage,
};
