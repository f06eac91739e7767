// What the key/value cache of one sequence takes: a windowed layer forgets what no later token can
// see, a chunked one starts anew with each chunk.

import type { LayerDescription } from './layers.js';

type Keeps = Pick<LayerDescription, 'window' | 'chunk' | 'kvBytesPerToken'>;

/** Most tokens that a layer keeps at once on the way to `context` tokens. */
export function tokensKept({ window, chunk }: Pick<Keeps, 'window' | 'chunk'>, context: number): number {
  return Math.min(context, window ?? Infinity, chunk ?? Infinity);
}

/** Bytes (bf16) that all layers keep of one sequence of `context` tokens. */
export function kvBytes(layers: readonly Keeps[], context: number): number {
  return layers.reduce((sum, layer) => sum + layer.kvBytesPerToken * tokensKept(layer, context), 0);
}
