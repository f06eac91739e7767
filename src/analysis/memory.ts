// What the key/value cache of one sequence takes: a windowed layer forgets what no later token can
// see, a chunked one starts anew with each chunk.

import { KV_BYTES } from './formats.js';
import type { KvPrecision } from './formats.js';
import type { LayerDescription } from './layers.js';

type Keeps = Pick<LayerDescription, 'window' | 'chunk' | 'kvBytesPerToken'>;

/** Most tokens that a layer keeps at once on the way to `context` tokens. */
export function tokensKept({ window, chunk }: Pick<Keeps, 'window' | 'chunk'>, context: number): number {
  return Math.min(context, window ?? Infinity, chunk ?? Infinity);
}

/** Bytes (bf16 unless told) that all layers keep of one sequence of `context` tokens. */
export function kvBytes(layers: readonly Keeps[], context: number, precision: KvPrecision = 'bf16'): number {
  const perNumber = KV_BYTES[precision] / KV_BYTES.bf16;
  return layers.reduce((sum, layer) => sum + layer.kvBytesPerToken * perNumber * tokensKept(layer, context), 0);
}

/** Layers that keep alike, and what they keep. */
export interface KvKind {
  readonly attention: LayerDescription['attention'];
  readonly reach: LayerDescription['reach'];
  /** Most tokens that such a layer keeps; null: all. */
  readonly span: number | null;
  readonly layers: number;
  /** Of all these layers together, before any window takes effect. */
  readonly bytesPerToken: Readonly<Record<KvPrecision, number>>;
  readonly bytesAtContext: Readonly<Record<KvPrecision, number>>;
}

/** The cache by kind of layer at every precision, kinds in the order of their first layers. */
export function kvKinds(layers: readonly LayerDescription[], context: number): KvKind[] {
  const groups = new Map<string, LayerDescription[]>();
  for (const layer of layers) {
    const key = JSON.stringify([layer.attention, layer.reach, layer.window, layer.chunk, layer.kvBytesPerToken]);
    groups.set(key, [...(groups.get(key) ?? []), layer]);
  }
  const byPrecision = (bytes: (precision: KvPrecision) => number) =>
    Object.fromEntries((Object.keys(KV_BYTES) as KvPrecision[]).map((precision) => [precision, bytes(precision)])) as Record<KvPrecision, number>;
  return [...groups.values()].map((members) => ({
    attention: members[0].attention, reach: members[0].reach, span: members[0].window ?? members[0].chunk, layers: members.length,
    bytesPerToken: byPrecision((precision) => (members.length * members[0].kvBytesPerToken * KV_BYTES[precision]) / KV_BYTES.bf16),
    bytesAtContext: byPrecision((precision) => kvBytes(members, context, precision)),
  }));
}
