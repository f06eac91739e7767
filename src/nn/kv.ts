// What a layer keeps per token, and the step that a forward pass runs in.
//
// A layer declares its cache; whoever runs the model owns the storage. `step.append` hands this
// step's rows over and returns an opaque view for `attention`: pages when decoding, the rows
// themselves when training. The mask stands at the cache because it also says which tokens can
// be forgotten.

import { pagedAttention, rowAttention } from '../tensor/index.js';
import type { Mask, Tensor } from '../tensor/index.js';
import type { CachePart } from './module.js';

/** Rows kept per token: key heads x width, and value heads x width. */
export interface CacheRows {
  readonly k: readonly [heads: number, width: number];
  /** Absent where the values are the first `valueDim` columns of the keys (MLA's latent row). */
  readonly v?: readonly [heads: number, width: number];
}

export class KvCache implements CachePart {
  readonly kind = 'cache';
  path = '';
  constructor(readonly rows: CacheRows, readonly mask: Mask, readonly valueDim: number) {}

  /** Numbers kept per token. */
  get width(): number {
    const { k, v } = this.rows;
    return k[0] * k[1] + (v ? v[0] * v[1] : 0);
  }
}

/** Keys and values per head, seen through a mask. */
export function kvCache(k: readonly [number, number], v: readonly [number, number], mask: Mask = {}): KvCache {
  return new KvCache({ k, v }, mask, v[1]);
}

/** One latent row per token whose first `valueDim` columns are its values too. */
export function latentCache(width: number, valueDim: number, mask: Mask = {}): KvCache {
  return new KvCache({ k: [1, width] }, mask, valueDim);
}

/** What attention reads: pages of a cache, or the step's own rows. */
export type KvView =
  | { readonly kind: 'pages'; readonly k: Tensor; readonly v: Tensor; readonly positions: Tensor; readonly slots: Tensor; readonly pageTable: Tensor; readonly cache: KvCache }
  | { readonly kind: 'rows'; readonly k: Tensor; readonly v: Tensor; readonly positions: Tensor; readonly starts: Tensor; readonly cache: KvCache };

/** One forward pass over T new tokens of one or more sequences, laid end to end. */
export interface Step {
  /** Token ids [T], int32. */
  readonly tokens: Tensor;
  /** Position of each token in its own sequence [T], int32. */
  readonly positions: Tensor;
  /** Rows whose logits are wanted [R], int32; null: all. */
  readonly outputRows: Tensor | null;
  /** Keeps this step's rows (k [T, K, H], v [T, K, V] unless values are part of k). */
  append(cache: KvCache, rows: { k: Tensor; v?: Tensor }): KvView;
}

/** Softmax attention of q [T, N, H] over what its sequence keeps; returns [T, N, V]. */
export function attention(q: Tensor, view: KvView, { scale }: { scale: number }): Tensor {
  const attrs = { scale, valueDim: view.cache.valueDim, ...view.cache.mask };
  return view.kind === 'pages'
    ? pagedAttention(q, view.k, view.v, view.positions, view.slots, view.pageTable, attrs)
    : rowAttention(q, view.k, view.v, view.positions, view.starts, attrs);
}
