// What a layer keeps per token, and the step that a forward pass runs in.
//
// A layer declares its cache; whoever runs the model owns the storage. `step.append` hands this
// step's rows over and returns an opaque view for `attention`: pages when decoding, the rows
// themselves when training. The mask stands at the cache because it also says which tokens can
// be forgotten.

import { pagedAttention, rowAttention } from '../tensor/index.js';
import type { Mask, Tensor } from '../tensor/index.js';
import type { CachePart, Module, Parameter } from './module.js';

/** Rows kept per token: key heads x width, and value heads x width. */
export interface CacheRows {
  readonly k: readonly [heads: number, width: number];
  /** Absent where the values are the first `valueDim` columns of the keys (MLA's latent row). */
  readonly v?: readonly [heads: number, width: number];
}

/**
 * Rows of a weight (and of its bias) that make queries or keys: rows [base + h * block + start, + rows)
 * belong to head h. Multiplying them scales that head's scores; `power` says with which share.
 */
export interface HeadRows {
  readonly parameters: readonly Parameter[];
  readonly heads: number;
  readonly block: number;
  readonly start: number;
  readonly rows: number;
  readonly base: number;
  /** 0.5 where queries and keys share the factor, 1 where one side takes all of it. */
  readonly power: 0.5 | 1;
}

export class KvCache implements CachePart {
  readonly kind = 'cache';
  path = '';
  /** What scales this layer's scores, for QK-Clip; empty where a norm of queries and keys undoes it. */
  headRows: readonly HeadRows[] = [];
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

type Projection = Module<{ weight: Parameter; bias: Parameter | null }>;

/** A projection's rows, head by head: all of each head's block unless `start` and `rows` say otherwise. */
export function headRows({ parts: { weight, bias } }: Projection, heads: number, block: number, { start = 0, rows = block, base = 0, power = 0.5 as 0.5 | 1 } = {}): HeadRows {
  return { parameters: bias ? [weight, bias] : [weight], heads, block, start, rows, base, power };
}

/** Declares what makes the scores of an attention module, at its cache. */
export function scoredBy<M extends Module<P>, P extends { readonly kv: KvCache }>(attention: M & Module<P>, rows: (parts: P) => readonly HeadRows[]): M {
  attention.parts.kv.headRows = rows(attention.parts);
  return attention;
}

/** What attention reads: pages of a cache, or the step's own rows. */
export type KvView =
  | { readonly kind: 'pages'; readonly k: Tensor; readonly v: Tensor; readonly positions: Tensor; readonly slots: Tensor; readonly pageTable: Tensor; readonly cache: KvCache;
    /** Whether the model's products round activations, so that attention may round a little too. */
    readonly rounded?: boolean }
  | { readonly kind: 'rows'; readonly k: Tensor; readonly v: Tensor; readonly positions: Tensor; readonly starts: Tensor; readonly cache: KvCache;
    /** Sees the queries and the scale before attention runs: telemetry of training. */
    readonly watch?: (q: Tensor, scale: number) => void };

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
  /** Runs a layer in a way of its own: training may compute it again instead of keeping what it made. */
  layer?(layer: (x: Tensor, step: Step) => Tensor, x: Tensor): Tensor;
}

/** Softmax attention of q [T, N, H] over what its sequence keeps; returns [T, N, V]. */
export function attention(q: Tensor, view: KvView, { scale }: { scale: number }): Tensor {
  const attrs = { scale, valueDim: view.cache.valueDim, ...view.cache.mask };
  if (view.kind === 'rows') view.watch?.(q, scale);
  return view.kind === 'pages'
    ? pagedAttention(q, view.k, view.v, view.positions, view.slots, view.pageTable, view.rounded ? { ...attrs, rounded: true } : attrs)
    : rowAttention(q, view.k, view.v, view.positions, view.starts, attrs);
}
