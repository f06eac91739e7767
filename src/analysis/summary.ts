// A model's layers in a few words: what is equal in all of them is said once, what is not is
// counted (`52 x window 1,024; 10 x full`).

import type { Description } from './describe.js';
import type { LayerDescription, MlpDescription } from './layers.js';

/** `text` of every layer, with how many layers have it where they differ. */
export function summarise<T>(layers: readonly T[], text: (layer: T) => string): string {
  const counts = new Map<string, number>();
  for (const layer of layers) counts.set(text(layer), (counts.get(text(layer)) ?? 0) + 1);
  if (counts.size === 1) return [...counts.keys()][0];
  return [...counts].sort((a, b) => b[1] - a[1]).map(([words, count]) => `${count} x ${words}`).join('; ');
}

export function attentionText({ attention, heads, kvHeads, headDim, latent }: LayerDescription): string {
  if (latent) return `MLA, ${heads} heads of ${headDim}, latent ${latent.rank} + ${latent.rope}`;
  return attention === 'MHA' ? `MHA, ${heads} heads of ${headDim}` : `${attention}, ${heads} heads of ${headDim}, ${kvHeads} kv`;
}

export function reachText({ window, chunk }: LayerDescription): string {
  if (window) return `window ${thousands(window)}`;
  return chunk ? `chunks of ${thousands(chunk)}` : 'full';
}

export function positionsText({ rope }: LayerDescription, learned: number | null): string {
  if (!rope) return learned ? 'learned' : 'none';
  const theta = rope.theta === null ? '' : ` ${shortNumber(rope.theta)}`;
  return `RoPE${theta}${rope.stretch === 1 ? '' : ` stretched ${thousands(rope.stretch)}x`}`;
}

const GATED: Readonly<Record<string, string>> = { silu: 'SwiGLU', gelu_tanh: 'GeGLU' };

export function mlpText(mlp: MlpDescription | null): string {
  if (!mlp) return 'none';
  const activation = mlp.gated ? (GATED[mlp.activation] ?? `gated ${mlp.activation}`) : mlp.activation.replace('_tanh', '').toUpperCase();
  if (mlp.kind === 'dense') return `${activation} ${thousands(mlp.hidden)}`;
  return `${mlp.experts} experts of ${thousands(mlp.hidden)}, top ${mlp.perToken}${mlp.shared ? `, ${mlp.shared} shared` : ''}`;
}

/** What can be said of each layer, in words, under a heading. */
export function layerColumns({ learnedPositions }: Pick<Description, 'learnedPositions'>): readonly (readonly [label: string, text: (layer: LayerDescription) => string])[] {
  return [
    ['attention', attentionText],
    ['sees', reachText],
    ['positions', (layer) => positionsText(layer, learnedPositions)],
    ['norms', ({ norms, normKind }) => (normKind ? `${norms}, ${normKind}` : norms)],
    ['query/key norm', ({ qkNorm }) => qkNorm ?? 'none'],
    ['feed-forward', ({ mlp }) => mlpText(mlp)],
    ['parameters', ({ parameters }) => thousands(parameters)],
    ['active', ({ active }) => thousands(active)],
    ['KV bytes per token', ({ kvBytesPerToken }) => thousands(kvBytesPerToken)],
  ];
}

function thousands(value: number): string {
  return value.toLocaleString('en-US');
}

/** 5e5 for 500,000; plain where that is not shorter. */
function shortNumber(value: number): string {
  const [short, plain] = [value.toExponential().replace('e+', 'e'), String(value)];
  return short.length < plain.length ? short : plain;
}
