// Cases for the kernels of training, at extents that no tile, vector or thread divides. The outputs of
// gradients are held to the ops' own loops, like all others.

import { noise } from '../numbers.js';
import { bytesOf, floats, ints } from './support.js';
import type { OpRun } from './support.js';

interface Case extends OpRun { readonly note: string; readonly tolerance?: number }

/** Sequences of 1, 9, 30 and 27 tokens laid end to end. */
const lengths = [1, 9, 30, 27];
const T = 67;
const positions = ints([T], lengths.flatMap((length) => Array.from({ length }, (_, i) => i)));
const starts = ints([T], lengths.flatMap((length, s) => Array<number>(length).fill(lengths.slice(0, s).reduce((a, b) => a + b, 0))));
const picks = ints([21, 2], Array.from({ length: 42 }, (_, i) => (i * i) % 5));

const attention = [['grouped queries', 4, 2, 10, 10, {}], ['window', 2, 2, 8, 5, { window: 4 }], ['chunk', 3, 1, 9, 9, { chunk: 7 }], ['a latent row', 4, 1, 12, 7, {}], ['large scores', 2, 1, 8, 8, { scale: 30 }]]
  .flatMap(([note, N, K, H, D, extra]): Case[] => {
    const attrs = { scale: 0.4, valueDim: Number(D), ...(extra as object) };
    const [q, k, v] = [floats([T, Number(N), Number(H)]), floats([T, Number(K), Number(H)], 2), floats([T, Number(K), Number(H)], 3)];
    return [
      { op: 'attention', note: String(note), attrs, inputs: [q, k, v, positions, starts] },
      { op: 'attention_max', note: String(note), attrs, inputs: [q, k, positions, starts] },
      { op: 'attention_grad', note: String(note), attrs, inputs: [q, k, v, positions, starts, floats([T, Number(N), Number(D)], 4)], tolerance: 3e-5 },
    ];
  });

export const gradientCases: readonly Case[] = [
  ...attention,
  ...[[1, 1, 1], [5, 3, 9], [13, 300, 21], [33, 600, 8], [4, 17, 35]].flatMap(([M, K, N]): Case[] => [
    { op: 'matmul', note: `${M} x ${K} x ${N}`, attrs: { transposeA: false }, inputs: [floats([M, K]), floats([K, N], 2)] },
    { op: 'matmul', note: `${M} x ${K} x ${N}, transposed`, attrs: { transposeA: true }, inputs: [floats([K, M]), floats([K, N], 2)] },
  ]),
  ...['silu_grad', 'gelu_tanh_grad', 'sigmoid_grad'].map((op): Case => ({ op, note: 'more than a unit', inputs: [floats([67, 131], 1, 12), floats([67, 131], 2)] })),
  { op: 'rms_norm_grad', note: 'weighted', attrs: { eps: 1e-5, offset: 1 }, inputs: [floats([19, 37]), floats([19, 37], 2), floats([37], 3)] },
  { op: 'rms_norm_grad', note: 'without a weight, per head', attrs: { eps: 1e-5, offset: 0 }, inputs: [floats([5, 3, 12]), floats([5, 3, 12], 2)] },
  { op: 'layer_norm_grad', note: 'rows', attrs: { eps: 1e-5 }, inputs: [floats([19, 37]), floats([19, 37], 2), floats([37], 3)] },
  { op: 'softmax_grad', note: 'rows', inputs: [floats([19, 37]), floats([19, 37], 2)] },
  { op: 'normalize_sum_grad', note: 'routing weights', attrs: { epsilon: 1e-20 }, inputs: [{ ...floats([19, 5]), bytes: bytesOf(noise(95).map((x) => Math.abs(x) + 0.1)) }, floats([19, 5], 2)] },
  { op: 'sum_to', note: 'many rows', attrs: { shape: [37] }, inputs: [floats([300, 37])] },
  { op: 'add_rows', note: 'with repeats and padding', attrs: { rows: 11 }, inputs: [floats([21, 37]), ints([21], Array.from({ length: 21 }, (_, i) => (i * 7) % 12 - 1))] },
  { op: 'scatter', note: 'with repeats', attrs: { width: 7 }, inputs: [floats([21, 2]), picks] },
  { op: 'pad', note: 'in the middle', attrs: { start: 3, width: 20 }, inputs: [floats([21, 9])] },
  { op: 'combine_grad', note: 'an odd width', inputs: [floats([21, 2, 13]), floats([21, 2], 2), floats([21, 13], 3)] },
  ...[true, false].map((shared): Case => ({ op: 'expert_linear_grad_input', note: shared ? 'one row for all' : 'a row each', attrs: { shared }, inputs: [floats([21, 2, 11]), floats([5, 11, 14], 2), picks] })),
  ...[[21, 14], [21, 2, 14]].map((shape): Case => ({ op: 'expert_linear_grad_weight', note: `${shape.length} axes`, attrs: { experts: 6 }, inputs: [floats(shape), floats([21, 2, 11], 2), picks] })),
  { op: 'head_linear_grad', note: 'rows in the middle', attrs: { start: 2, block: 9 }, inputs: [floats([21, 3, 14]), floats([21, 3, 4], 2)] },
  { op: 'cross_entropy', note: 'an odd vocabulary', inputs: [floats([21, 103], 1, 20), ints([21], Array.from({ length: 21 }, (_, i) => i * 4))] },
  { op: 'cross_entropy_grad', note: 'an odd vocabulary', inputs: [floats([21, 103], 1, 20), ints([21], Array.from({ length: 21 }, (_, i) => i * 4)), floats([1], 3)] },
  { op: 'sum_squares', note: 'many', inputs: [floats([67, 131])] },
  {
    op: 'adamw', note: 'the second step', attrs: { learningRate: 0.01, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1, step: 2, gradientScale: 0.5 },
    inputs: [floats([67, 131]), floats([67, 131], 2), { ...floats([67, 131]), bytes: bytesOf(noise(67 * 131, 3).map(Math.abs)) }, floats([67, 131], 4)],
  },
];
