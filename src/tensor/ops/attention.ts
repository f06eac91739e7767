// attention: causal softmax attention of q [T, N, H] over the tokens of its own sequence.
// Query head j reads key/value head floor(j / (N / K)). Values may be the first `valueDim`
// columns of wider rows (MLA's latent rows are keys and values at once).
//
//   attention        keys and values are the step's own rows [T, K, H]: training and the oracle.
//                    `starts` [T]: the row that holds position 0 of the token's sequence. A second output
//                    [T, N], log of the sum of e^score, spares its gradient finding it again.
//   paged_attention  they lie in pages [P, K, 64, H] found through `pageTable` [S, entries] and
//                    the token's sequence `slots` [T]; slot -1 (padding) gives zeros. Pages may be f16 or q8_0.
//                    What one head reads of a page is one piece of memory.
//
// Token at position p sees positions max(0, p - window + 1) ... p with a window, those of its
// own chunk of `chunk` tokens with a chunk, all from 0 otherwise. kv_append writes rows to pages,
// rounded to their type (to nearest even).

import { elementBytes, elementCount, f16Bits, quantiseQ8 } from '../dtype.js';
import type { DType, Spec } from '../dtype.js';
import { defineOp, getOp, shapeError } from '../op.js';
import type { Cost, CostContext } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { View } from '../view.js';

export const PAGE_TOKENS = 64;

/** Which earlier tokens a layer sees. `{}`: all of them. */
export interface Mask { readonly window?: number; readonly chunk?: number }
export interface AttentionAttrs extends Mask {
  scale: number;
  valueDim: number;
  /** Backends may round queries, keys, values and weights to 12 bits and a sign where many rows attend together. */
  rounded?: boolean;
}

/** First position that the token at `position` sees. */
export function firstVisible({ window, chunk }: Mask, position: number): number {
  const byWindow = window ? position - window + 1 : 0;
  const byChunk = chunk ? Math.floor(position / chunk) * chunk : 0;
  return Math.max(0, byWindow, byChunk);
}

/** How many tokens the token at `position` attends to, itself included. */
export function visibleTokens(mask: Mask, position: number): number {
  return position + 1 - firstVisible(mask, position);
}

/** Key/value heads: the second axis of rows and of pages alike. */
const keyHeads = ({ shape }: Spec): number => shape[1];

function inferAttention(name: string, inputs: readonly Spec[], { valueDim }: AttentionAttrs): Spec[] {
  const [q, k, v] = inputs;
  const fits = q.shape.length === 3 && q.shape[2] === k.shape.at(-1) && q.shape[1] % keyHeads(k) === 0 && keyHeads(v) === keyHeads(k) && valueDim <= (v.shape.at(-1) ?? 0);
  if (!fits) shapeError(name, inputs, 'expected q [T, N, H] with N a multiple of the key heads and equal head sizes');
  return [{ shape: [q.shape[0], q.shape[1], valueDim], dtype: 'f32' }];
}

/** Softmax weights of head n of token t over rows `rowOf(lo) ... rowOf(position)`, and the log of what they were divided by. */
function attentionWeights(q: Float32Array, at: number, keys: Float32Array, H: number, rows: readonly number[], scale: number): { weights: Float64Array; lse: number } {
  const weights = new Float64Array(rows.length);
  let [max, sum] = [-Infinity, 0];
  for (let j = 0; j < rows.length; j++) {
    let dot = 0;
    for (let i = 0; i < H; i++) dot += q[at + i] * keys[rows[j] + i];
    weights[j] = dot * scale;
    max = Math.max(max, weights[j]);
  }
  for (let j = 0; j < rows.length; j++) sum += weights[j] = Math.exp(weights[j] - max);
  for (let j = 0; j < rows.length; j++) weights[j] /= sum;
  return { weights, lse: max + Math.log(sum) };
}

/** Where keys and values lie: the row of one token and head, in rows of one head's numbers. */
interface Rows {
  padding(t: number): boolean;
  rowOf(t: number, position: number, head: number): number;
}

/** The loops that both forms share; `lse` [T, N] only where it is wanted. */
function attend(q: View, k: View, v: View, [out, lse]: readonly View[], positions: Int32Array, attrs: AttentionAttrs, { padding, rowOf }: Rows): void {
  const [T, N, H] = q.spec.shape;
  const K = keyHeads(k.spec);
  const V = v.rowLength;
  const [query, keys, values, to] = [q.f32, k.toFloat32(), v.toFloat32(), out.f32];
  const D = attrs.valueDim;
  for (let t = 0; t < T; t++) {
    if (padding(t)) { to.fill(0, t * N * D, (t + 1) * N * D); continue; }
    for (let n = 0; n < N; n++) {
      const head = Math.floor((n * K) / N);
      const rows: number[] = [];
      for (let p = firstVisible(attrs, positions[t]); p <= positions[t]; p++) rows.push(rowOf(t, p, head));
      const { weights, lse: log } = attentionWeights(query, (t * N + n) * H, keys, H, rows.map((row) => row * H), attrs.scale);
      if (lse) lse.f32[t * N + n] = log;
      const sums = new Float64Array(D);
      for (let j = 0; j < rows.length; j++) {
        for (let d = 0; d < D; d++) sums[d] += weights[j] * values[rows[j] * V + d];
      }
      to.set(sums, (t * N + n) * D);
    }
  }
}

function attentionCost([q, k, v]: readonly Spec[], attrs: AttentionAttrs, { contextLength }: CostContext): Cost {
  const [T, N, H] = q.shape;
  const K = keyHeads(k);
  let [pairs, reach] = [0, 0];
  for (let t = 0; t < T; t++) {
    const seen = visibleTokens(attrs, Math.max(0, contextLength - T + t));
    pairs += seen;
    reach = Math.max(reach, seen);
  }
  const bytesPerRow = K * (elementBytes({ shape: [H], dtype: k.dtype }) + (elementBytes({ shape: [v.shape.at(-1) ?? 1], dtype: v.dtype }) * attrs.valueDim) / (v.shape.at(-1) ?? 1));
  return { flops: 2 * pairs * N * (H + attrs.valueDim), bytesRead: elementCount(q.shape) * 4 + reach * bytesPerRow, bytesWritten: T * N * attrs.valueDim * 4 };
}

defineOp<AttentionAttrs>({
  name: 'attention',
  infer: (inputs, attrs) => [...inferAttention('attention', inputs, attrs), { shape: inputs[0].shape.slice(0, 2), dtype: 'f32' }],
  reference([q, k, v, positions, starts], outputs, attrs) {
    const first = starts.i32;
    const K = keyHeads(k.spec);
    attend(q, k, v, outputs, positions.i32, attrs, { padding: () => false, rowOf: (t, position, head) => (first[t] + position) * K + head });
  },
  saves: { inputs: [0, 1, 2, 3, 4], outputs: [0, 1] },
  vjp(saved, [dy, dlse], attrs) {
    if (dlse) throw new Error('attention: only its first output has a gradient');
    if (!dy) return [];
    const kept = [...[0, 1, 2, 3, 4].map((i) => saved.input(i)), saved.output(0), saved.output(1)];
    return [...apply('attention_grad', [...kept, dy], { ...attrs }), null, null];
  },
  cost(inputs, attrs, context) {
    const cost = attentionCost(inputs, attrs, context);
    return { ...cost, bytesWritten: cost.bytesWritten + inputs[0].shape[0] * inputs[0].shape[1] * 4 };
  },
});

// attention_max: the largest score (q . k times scale, before the softmax) of each query head, [N].
defineOp<AttentionAttrs>({
  name: 'attention_max',
  infer: ([q]) => [{ shape: [q.shape[1]], dtype: 'f32' }],
  reference([q, k, positions, starts], [out], attrs) {
    const [T, N, H] = q.spec.shape;
    const K = k.spec.shape[1];
    const [query, keys, largest] = [q.f32, k.f32, out.f32];
    largest.fill(-Infinity);
    for (let t = 0; t < T; t++) for (let p = firstVisible(attrs, positions.i32[t]); p <= positions.i32[t]; p++) for (let n = 0; n < N; n++) {
      const row = (starts.i32[t] + p) * K + Math.floor((n * K) / N);
      let dot = 0;
      for (let i = 0; i < H; i++) dot += query[(t * N + n) * H + i] * keys[row * H + i];
      largest[n] = Math.max(largest[n], dot * attrs.scale);
    }
  },
  cost: ([q, k], attrs, context) => ({ ...attentionCost([q, k, k], { ...attrs, valueDim: 0 }, context), bytesWritten: q.shape[1] * 4 }),
});

// Inputs: those of attention, both its outputs, and the first one's gradient.
defineOp<AttentionAttrs>({
  name: 'attention_grad',
  infer: ([q, k, v]) => [q, k, v].map((spec) => ({ shape: spec.shape, dtype: 'f32' as const })),
  reference([q, k, v, positions, starts, , , dout], [dq, dk, dv], attrs) {
    const [T, N, H] = q.spec.shape;
    const K = k.spec.shape[1];
    const [V, D] = [v.rowLength, attrs.valueDim];
    const [query, keys, values, grad] = [q.f32, k.f32, v.f32, dout.f32];
    const sums = { q: new Float64Array(query.length), k: new Float64Array(keys.length), v: new Float64Array(values.length) };
    for (let t = 0; t < T; t++) for (let n = 0; n < N; n++) {
      const head = Math.floor((n * K) / N);
      const position = positions.i32[t];
      const rows: number[] = [];
      for (let p = firstVisible(attrs, position); p <= position; p++) rows.push((starts.i32[t] + p) * K + head);
      const at = (t * N + n) * H;
      const { weights } = attentionWeights(query, at, keys, H, rows.map((row) => row * H), attrs.scale);
      const dWeights = rows.map((row, j) => {
        let dot = 0;
        for (let d = 0; d < D; d++) {
          const g = grad[(t * N + n) * D + d];
          dot += g * values[row * V + d];
          sums.v[row * V + d] += weights[j] * g;
        }
        return dot;
      });
      const mean = dWeights.reduce((sum, d, j) => sum + d * weights[j], 0);
      rows.forEach((row, j) => {
        const dScore = weights[j] * (dWeights[j] - mean) * attrs.scale;
        for (let i = 0; i < H; i++) {
          sums.q[at + i] += dScore * keys[row * H + i];
          sums.k[row * H + i] += dScore * query[at + i];
        }
      });
    }
    dq.f32.set(sums.q);
    dk.f32.set(sums.k);
    dv.f32.set(sums.v);
  },
  cost: (inputs, attrs, context) => {
    const forward = attentionCost(inputs, attrs, context);
    return { ...forward, flops: forward.flops * 2.5 };
  },
});

defineOp<AttentionAttrs>({
  name: 'paged_attention',
  infer: (inputs, attrs) => inferAttention('paged_attention', inputs, attrs),
  reference([q, k, v, positions, slots, pageTable], [out], attrs) {
    const slot = slots.i32;
    const row = pagedRows(pageTable, keyHeads(k.spec));
    attend(q, k, v, [out], positions.i32, attrs, { padding: (t) => slot[t] < 0, rowOf: (t, position, head) => row(slot[t], position, head) });
  },
  cost: attentionCost,
});

defineOp({
  name: 'kv_append',
  effect: true,
  infer(inputs) {
    const [store, rows, positions, slots] = inputs;
    const fits = store.shape.length === 4 && store.shape[2] === PAGE_TOKENS && rows.shape.length === 3
      && store.shape[1] === rows.shape[1] && store.shape[3] === rows.shape[2] && positions.shape[0] === rows.shape[0] && slots.shape[0] === rows.shape[0];
    if (!fits || !['f32', 'f16', 'q8_0'].includes(store.dtype)) shapeError('kv_append', inputs, `expected store [P, K, ${PAGE_TOKENS}, H] in f32, f16 or q8_0 and rows [T, K, H]`);
    return [];
  },
  reference([store, rows, positions, slots, pageTable]) {
    const [T, K, H] = rows.spec.shape;
    const [from, at, slot] = [rows.f32, positions.i32, slots.i32];
    const pagedRow = pagedRows(pageTable, K);
    const rowBytes = elementBytes({ shape: [H], dtype: store.spec.dtype });
    for (let t = 0; t < T; t++) {
      if (slot[t] < 0) continue;
      for (let head = 0, row = t * K; head < K; head++, row++) {
        store.bytes.set(storedRow(store.spec.dtype, from.subarray(row * H, (row + 1) * H)), pagedRow(slot[t], at[t], head) * rowBytes);
      }
    }
  },
  cost([store, rows]) {
    return { flops: 0, bytesRead: elementBytes(rows), bytesWritten: elementBytes({ shape: rows.shape, dtype: store.dtype }) };
  },
});

// kv_append_pair: the rows of keys and of values in one call (only plans contain it).
defineOp({
  name: 'kv_append_pair',
  effect: true,
  infer([k, v, kRows, vRows, ...step]) {
    const append = getOp('kv_append');
    return [...append.infer([k, kRows, ...step], {}), ...append.infer([v, vRows, ...step], {})];
  },
  reference([k, v, kRows, vRows, ...step]) {
    const append = getOp('kv_append');
    append.reference([k, kRows, ...step], [], {});
    append.reference([v, vRows, ...step], [], {});
  },
  compose([k, v, kRows, vRows, positions, slots, table]) {
    kvAppend(k, kRows, positions, slots, table);
    kvAppend(v, vRows, positions, slots, table);
    return [];
  },
  cost: ([k, v, kRows, vRows]) => ({ flops: 0, bytesRead: elementBytes(kRows) + elementBytes(vRows), bytesWritten: elementBytes({ shape: kRows.shape, dtype: k.dtype }) + elementBytes({ shape: vRows.shape, dtype: v.dtype }) }),
});

// rms_norm_rope_append: rms_norm_rope_pair of queries and keys, of which the keys, and the values, go to their
// pages: inputs q, k, their weights, positions, frequencies, the two stores, v, slots, table; output the queries.
defineOp({
  name: 'rms_norm_rope_append',
  effect: true,
  infer: ([q]) => [{ shape: q.shape, dtype: 'f32' }],
  reference([q, k, qWeight, kWeight, positions, frequencies, keys, values, v, slots, table], [out], attrs) {
    const placed = new View(k.spec, new Uint8Array(k.bytes.byteLength));
    getOp('rms_norm_rope_pair').reference([q, k, qWeight, kWeight, positions, frequencies], [out, placed], { ...attrs });
    getOp('kv_append_pair').reference([keys, values, placed, v, positions, slots, table], [], {});
  },
  cost: ([q, k]) => ({ flops: 6 * (elementCount(q.shape) + elementCount(k.shape)), bytesRead: elementBytes(q) + 2 * elementBytes(k), bytesWritten: elementBytes(q) + 2 * elementBytes(k) }),
});

// rms_norm_rope_attention: rms_norm_rope_append, then paged_attention of its queries over its stores (only
// plans contain it). The inputs of the one, the attributes of both.
defineOp<AttentionAttrs>({
  name: 'rms_norm_rope_attention',
  effect: true,
  infer: ([q, , , , positions, , keys, values, , slots, table], attrs) => getOp('paged_attention').infer([q, keys, values, positions, slots, table], { ...attrs }),
  reference(inputs, [out], attrs) {
    const [q, , , , positions, , keys, values, , slots, table] = inputs;
    const queries = new View(q.spec, new Uint8Array(q.bytes.byteLength));
    getOp('rms_norm_rope_append').reference(inputs, [queries], { ...attrs });
    getOp('paged_attention').reference([queries, keys, values, positions, slots, table], [out], { ...attrs });
  },
  cost(inputs, attrs, context) {
    const [q, , , , , , keys, values] = inputs;
    const [append, attention] = [getOp('rms_norm_rope_append').cost(inputs, {}, context), attentionCost([q, keys, values], attrs, context)];
    return { flops: append.flops + attention.flops, bytesRead: append.bytesRead + attention.bytesRead - elementBytes(q), bytesWritten: append.bytesWritten + attention.bytesWritten - elementBytes(q) };
  },
});

/** Bytes of a row as a page store keeps it. */
function storedRow(dtype: DType, values: Float32Array): Uint8Array {
  if (dtype === 'q8_0') return quantiseQ8(values);
  const numbers = dtype === 'f32' ? values : Uint16Array.from(values, f16Bits);
  return new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
}

/** Finds the row of a token and head in a page store; fails loudly where the page was freed or never given. */
function pagedRows(pageTable: View, heads: number): (slot: number, position: number, head: number) => number {
  const [table, entries] = [pageTable.i32, pageTable.rowLength];
  return (slot, position, head) => {
    const page = table[slot * entries + Math.floor(position / PAGE_TOKENS)];
    if (!(page >= 0)) throw new RangeError(`no page for position ${position} of slot ${slot}`);
    return (page * heads + head) * PAGE_TOKENS + (position % PAGE_TOKENS);
  };
}

/** Attention over the step's own rows. */
export function rowAttention(q: Tensor, k: Tensor, v: Tensor, positions: Tensor, starts: Tensor, attrs: AttentionAttrs): Tensor {
  return apply('attention', [q, k, v, positions, starts], { ...attrs })[0];
}

/** Largest score of each query head over the step's own rows, [N]. */
export function attentionMax(q: Tensor, k: Tensor, positions: Tensor, starts: Tensor, attrs: AttentionAttrs): Tensor {
  return apply('attention_max', [q, k, positions, starts], { ...attrs })[0];
}

/** Attention over paged storage. */
export function pagedAttention(q: Tensor, k: Tensor, v: Tensor, positions: Tensor, slots: Tensor, pageTable: Tensor, attrs: AttentionAttrs): Tensor {
  return apply('paged_attention', [q, k, v, positions, slots, pageTable], { ...attrs })[0];
}

/** Writes the rows of this step's tokens into their pages. */
export function kvAppend(store: Tensor, rows: Tensor, positions: Tensor, slots: Tensor, pageTable: Tensor): void {
  apply('kv_append', [store, rows, positions, slots, pageTable]);
}
