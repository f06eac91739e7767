// Cases for the kernels of training, at extents that no tile, vector or thread divides, for wasm and
// WebGPU. The outputs of gradients are held to the ops' own loops, like all others.

import { noise } from '../numbers.js';
import { getOp } from '../../src/tensor/index.js';
import { bytesOf, expected, floats, ints } from './runs.js';
import type { Bytes, OpRun } from './runs.js';

interface Case extends OpRun { readonly note: string; readonly tolerance?: number }

/** Sequences of 1, 9, 30 and 27 tokens laid end to end. */
const lengths = [1, 9, 30, 27];
const T = 67;
const positions = ints([T], lengths.flatMap((length) => Array.from({ length }, (_, i) => i)));
const starts = ints([T], lengths.flatMap((length, s) => Array<number>(length).fill(lengths.slice(0, s).reduce((a, b) => a + b, 0))));
const picks = ints([21, 2], Array.from({ length: 42 }, (_, i) => (i * i) % 5));

const manyPicks = ints([300, 2], Array.from({ length: 600 }, (_, i) => (i * i + (i >> 3)) % 5));
const numbers = (...values: number[]): Bytes => ({ spec: { shape: [values.length], dtype: 'f32' }, bytes: bytesOf(Float32Array.from(values)) });
const positive = (shape: number[], seed: number): Bytes => ({ ...floats(shape), bytes: bytesOf(noise(shape.reduce((a, b) => a * b, 1), seed).map(Math.abs)) });

/** What an op's definition gives, as inputs of another. */
const results = (run: OpRun): Bytes[] => expected(run).map((bytes, i) => ({ spec: getOp(run.op).infer(run.inputs.map(({ spec }) => spec), run.attrs ?? {})[i], bytes }));

// Rows of more than one piece (96 and 40 numbers), of one that is not whole vectors, and none that a tile divides.
const attention = [['several pieces', 4, 2, 96, 40, {}], ['one piece', 4, 2, 32, 32, {}], ['grouped queries', 4, 2, 10, 10, {}], ['window', 2, 2, 10, 10, { window: 4 }], ['chunk', 3, 1, 10, 10, { chunk: 7 }], ['a latent row', 4, 1, 12, 7, {}], ['large scores', 2, 1, 10, 10, { scale: 30 }]]
  .flatMap(([note, N, K, H, D, extra]): Case[] => {
    const attrs = { scale: 0.4, valueDim: Number(D), ...(extra as object) };
    const [q, k, v] = [floats([T, Number(N), Number(H)]), floats([T, Number(K), Number(H)], 2), floats([T, Number(K), Number(H)], 3)];
    const inputs = [q, k, v, positions, starts];
    return [
      { op: 'attention', note: String(note), attrs, inputs },
      { op: 'attention_max', note: String(note), attrs, inputs: [q, k, positions, starts] },
      { op: 'attention_grad', note: String(note), attrs, inputs: [...inputs, ...results({ op: 'attention', inputs, attrs }), floats([T, Number(N), Number(D)], 4)], tolerance: 3e-5 },
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
  ...[[300, 37], [40, 3, 7], [9, 300]].map(([rows, ...shape]): Case => ({ op: 'sum_to', note: `${rows} rows of ${shape.join(' x ')}`, attrs: { shape }, inputs: [floats([rows, ...shape])] })),
  { op: 'add_rows', note: 'with repeats and padding', attrs: { rows: 11 }, inputs: [floats([21, 37]), ints([21], Array.from({ length: 21 }, (_, i) => (i * 7) % 12 - 1))] },
  { op: 'scatter', note: 'with repeats', attrs: { width: 7 }, inputs: [floats([21, 2]), picks] },
  { op: 'pad', note: 'in the middle', attrs: { start: 3, width: 20 }, inputs: [floats([21, 9])] },
  { op: 'pad', note: 'whole vectors', attrs: { start: 4, width: 20 }, inputs: [floats([21, 8])] },
  { op: 'silu_grad', note: 'whole vectors', inputs: [floats([21, 8]), floats([21, 8], 2)] },
  { op: 'combine_grad', note: 'an odd width', inputs: [floats([21, 2, 13]), floats([21, 2], 2), floats([21, 13], 3)] },
  ...[true, false].map((shared): Case => ({ op: 'expert_linear_grad_input', note: shared ? 'one row for all' : 'a row each', attrs: { shared }, inputs: [floats([21, 2, 11]), floats([5, 11, 14], 2), picks] })),
  ...[[21, 14], [21, 2, 14]].map((shape): Case => ({ op: 'expert_linear_grad_weight', note: `${shape.length} axes`, attrs: { experts: 6 }, inputs: [floats(shape), floats([21, 2, 11], 2), picks] })),
  ...[true, false].map((shared): Case => ({ op: 'expert_linear_grad_input', note: `many choices, ${shared ? 'one row for all' : 'a row each'}`, attrs: { shared }, inputs: [floats([300, 2, 5]), floats([5, 5, 70], 2), manyPicks] })),
  ...[[300, 70], [300, 2, 70]].map((shape): Case => ({ op: 'expert_linear_grad_weight', note: `many choices, ${shape.length} axes`, attrs: { experts: 6 }, inputs: [floats(shape), floats([300, 2, 5], 2), manyPicks] })),
  { op: 'head_linear_grad', note: 'many tokens', attrs: { start: 0, block: 3 }, inputs: [floats([300, 2, 14]), floats([300, 2, 2], 2)] },
  { op: 'head_linear_grad', note: 'rows in the middle', attrs: { start: 2, block: 9 }, inputs: [floats([21, 3, 14]), floats([21, 3, 4], 2)] },
  ...[true, false].map((transposed): Case => ({
    op: 'head_linear', note: `many tokens${transposed ? ', transposed' : ''}`, attrs: { start: 2, rows: 5, transposed }, inputs: [floats([70, 3, transposed ? 5 : 14]), floats([27, 14], 2)],
  })),
  { op: 'cross_entropy', note: 'an odd vocabulary', inputs: [floats([21, 103], 1, 20), ints([21], Array.from({ length: 21 }, (_, i) => i * 4))] },
  { op: 'cross_entropy_grad', note: 'an odd vocabulary', inputs: [floats([21, 103], 1, 20), ints([21], Array.from({ length: 21 }, (_, i) => i * 4)), floats([1], 3)] },
  { op: 'sum_squares', note: 'many', attrs: { at: 2 }, inputs: [floats([4]), floats([67, 131])] },
  {
    op: 'adamw', note: 'the second step', attrs: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 },
    inputs: [floats([67, 131]), floats([67, 131], 2), positive([67, 131], 3), floats([67, 131], 4), numbers(0.01, 1 / (1 - 0.9 ** 2), 1 / (1 - 0.95 ** 2)), numbers(0.5)],
  },
  ...[true, false].map((nesterov): Case => ({
    op: 'momentum', note: nesterov ? 'Nesterov' : 'plain', attrs: { momentum: 0.95, nesterov, at: 74 }, inputs: [floats([5, 37]), floats([7, 37], 2), floats([5, 37], 3), numbers(0.5)],
  })),
  { op: 'step_along', note: 'from the middle of a stack', attrs: { at: 37, size: 0.3, weightDecay: 0.1 }, inputs: [floats([5, 37]), floats([7, 37], 2), numbers(0.02), numbers(1)] },
  ...[0.5, 1].map((power): Case => ({
    op: 'clip_heads', note: `power ${power}, two heads of four`, attrs: { heads: 4, block: 3, start: 1, rows: 2, base: 2, power, groups: 2, limit: 0.7 },
    inputs: [floats([15, 7]), numbers(0.6, 0.2, 0.9, 0.4), numbers(1)],
  })),
  { op: 'move_bias', note: 'up and down', attrs: { rate: 0.25 }, inputs: [floats([5]), numbers(3, 4, 5, 2, 6), numbers(1)] },
  ...(['adamw', 'momentum', 'step_along', 'clip_heads', 'move_bias'] as const).map((op): Case => ({
    op, note: 'after a step that went wrong', tolerance: 1e-30,
    ...{
      adamw: { attrs: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1 }, inputs: [...[1, 2, 3, 4].map((seed) => floats([9], seed)), numbers(0.1, 1, 1), numbers(-1)] },
      momentum: { attrs: { momentum: 0.95, nesterov: true, at: 0 }, inputs: [floats([9]), floats([9], 2), floats([9], 3), numbers(-1)] },
      step_along: { attrs: { at: 0, size: 1, weightDecay: 0.1 }, inputs: [floats([9]), floats([9], 2), numbers(0.1), numbers(-1)] },
      clip_heads: { attrs: { heads: 1, block: 2, start: 0, rows: 2, base: 0, power: 1, groups: 1, limit: 0.1 }, inputs: [floats([2, 3]), numbers(1), numbers(-1)] },
      move_bias: { attrs: { rate: 1 }, inputs: [floats([2]), numbers(1, 2), numbers(-1)] },
    }[op],
  })),
  ...[[false, false], [true, false], [false, true]].map(([transposeA, transposeB]): Case => ({
    op: 'batched_matmul', note: `several tiles${transposeA ? ', A transposed' : transposeB ? ', B transposed' : ''}`, attrs: { transposeA, transposeB, alpha: 0.5, beta: 2 },
    inputs: [floats(transposeA ? [2, 20, 70] : [2, 70, 20]), floats(transposeB ? [2, 67, 20] : [2, 20, 67], 2), floats([2, 70, 67], 3)],
  })),
  { op: 'batched_matmul', note: 'a long sum', attrs: { transposeA: true, transposeB: false, alpha: 1, beta: 0 }, inputs: [floats([2, 700, 5]), floats([2, 700, 9], 2)] },
];
