// The cases of every op that the wasm backend has, in every stored format, at extents that no tile or
// vector divides. Runs in browsers too.

import { lowerings } from '../../src/backends/wasm/lower/index.js';
import { BLOCKS, fitsBlocks, isBlockType } from '../../src/tensor/index.js';
import type { BlockType, Spec } from '../../src/tensor/index.js';
import { opCases } from '../ops/cases.js';
import { gradientCases } from './gradients.js';
import { bytesOf, floats, ints, stored } from './runs.js';
import type { OpRun } from './runs.js';

/** `note` tells an op's cases apart; `exact`: no rounding is forgiven. */
export interface Case extends OpRun { readonly note: string; readonly tolerance?: number; readonly exact?: true }

const shared: Case[] = opCases.map((c) => ({
  op: c.op, attrs: c.attrs, note: c.name, inputs: c.inputs.map(({ spec, values }) => ({ spec, bytes: bytesOf(values) })),
}));

const elementwise: Case[] = [
  ...['silu', 'gelu_tanh', 'sigmoid'].map((op): Case => ({ op, inputs: [floats([3, 101], 1, 60)], note: 'where exp overflows' })),
  { op: 'mul', inputs: [floats([4, 6, 9]), floats([6, 9], 2)], note: 'the last axes' },
  { op: 'silu_mul', inputs: [floats([5, 71], 1, 9), floats([5, 71], 2)], note: 'an odd width' },
  { op: 'add_rms_norm', inputs: [floats([9, 70]), floats([9, 70], 2), floats([70], 3)], attrs: { eps: 1e-5, offset: 1 }, note: 'an odd width' },
  { op: 'rms_norm', inputs: [floats([2, 6, 33]), floats([33], 2)], attrs: { eps: 1e-6, offset: 0 }, note: 'per head' },
  { op: 'softmax', inputs: [floats([9, 130], 1, 40)], note: 'long rows' },
  { op: 'temperature', inputs: [floats([4, 2, 5]), ints([4], [0, 7, 8, 100_000])], attrs: { floorScale: 8, strength: 0.1 }, note: 'far out' },
  { op: 'copy', inputs: [floats([300, 130]), floats([200, 130], 2)], note: 'more than a unit' },
  { op: 'top_k', inputs: [floats([9, 64])], attrs: { k: 6, groups: 8, groupsPicked: 3, groupScore: 'sum2' }, note: 'groups' },
  { op: 'combine', inputs: [floats([2, 3, 50]), floats([2, 3], 2)], note: 'an odd width' },
  ...['half', 'interleaved'].map((layout): Case => ({
    op: 'rope', inputs: [floats([5, 3, 14]), ints([5], [0, 1, 17, 4095, 131_071]), { ...floats([5]), bytes: bytesOf(Float32Array.of(1, 0.7, 0.3, 0.01, 0.0003)) }],
    attrs: { layout, amplitude: 1.2 }, note: `${layout}, long positions`,
  })),
];

/** The formats that a matrix of this shape can have. */
function formats(shape: readonly number[]): Spec[] {
  const any: Spec[] = [{ shape, dtype: 'f32' }, { shape, dtype: 'f16' }, { shape, dtype: 'bf16' }, { shape, dtype: 'f8_e4m3' }, { shape, dtype: 'f8_e4m3', scaleBlock: [16, 24] }];
  const blocks = (Object.keys(BLOCKS) as BlockType[]).filter((dtype) => fitsBlocks(dtype, shape.at(-1)!));
  return [...any, ...blocks.map((dtype): Spec => ({ shape, dtype }))];
}
const named = (spec: Spec): string => `${spec.dtype}${spec.scaleBlock ? ' scaled' : ''} [${spec.shape.join(', ')}]`;
/** Products of block formats round activations to 15 or 16 bits. */
const tolerance = ({ dtype }: Spec): number => (isBlockType(dtype) ? 1e-4 : 1e-5);

const matrices: Case[] = [[43, 96], [16, 64], [19, 35], [3, 32], [27, 512], [12, 256]].flatMap((shape) => formats(shape).flatMap((spec): Case[] => [
  ...[1, 2, 5, 70].map((tokens): Case => ({ op: 'linear', inputs: [floats([tokens, shape[1]]), stored(spec, 2), floats([shape[0]], 5)], note: `${tokens} tokens, ${named(spec)}`, tolerance: tolerance(spec) })),
  { op: 'take_rows', inputs: [stored(spec, 2), ints([5], [2, -1, 0, shape[0] - 1, 1])], note: named(spec) },
]));

const experts: Case[] = [[5, 11, 64], [5, 9, 35], [5, 11, 256]].flatMap((shape) => formats(shape).flatMap((spec): Case[] => [
  { op: 'expert_linear', inputs: [floats([3, shape[2]]), stored(spec, 2), ints([3, 2], [0, 4, 2, 2, 1, 3])], note: `one row for all, ${named(spec)}`, tolerance: tolerance(spec) },
  { op: 'expert_linear', inputs: [floats([80, 2, shape[2]]), stored(spec, 2), ints([80, 2], Array.from({ length: 160 }, (_, i) => (i % 3 ? 2 : i % 5)))], note: `a full panel, ${named(spec)}`, tolerance: tolerance(spec) },
]));

const heads: Case[] = [[30, 64], [30, 21], [30, 256]].flatMap((shape) => formats(shape).flatMap((spec): Case[] => [
  { op: 'head_linear', inputs: [floats([4, 3, shape[1]]), stored(spec, 2)], attrs: { start: 6, rows: 4, transposed: false }, note: named(spec) },
  { op: 'head_linear', inputs: [floats([4, 3, 4]), stored(spec, 2)], attrs: { start: 1, rows: 4, transposed: true }, note: `transposed, ${named(spec)}` },
]));

/** Six pages of 64; sequence 0 holds 200 tokens in pages 4, 0, 2, 5, sequence 1 seventy in 3 and 1. */
const table = ints([2, 5], [4, 0, 2, 5, -1, 3, 1, -1, -1, -1]);
const tokens = { positions: ints([5], [199, 68, 0, 127, 9]), slots: ints([5], [0, 1, 0, 0, -1]) };
const attention: Case[] = [
  ['grouped queries', 12, 2, 24, 24, {}], ['more heads than go at once', 6, 1, 40, 40, {}], ['window', 4, 2, 16, 16, { window: 70 }],
  ['chunk', 4, 4, 16, 16, { chunk: 50 }], ['large scores', 4, 2, 16, 16, { scale: 40 }],
].map(([note, N, K, H, V, attrs]): Case => ({
  op: 'paged_attention', note: String(note), attrs: { scale: 0.3, valueDim: Number(V), ...(attrs as object) },
  inputs: [floats([5, Number(N), Number(H)]), floats([6, Number(K), 64, Number(H)], 2), floats([6, Number(K), 64, Number(V)], 3), tokens.positions, tokens.slots, table],
}));
const half = (shape: readonly number[], seed = 1) => stored({ shape, dtype: 'f16' }, seed);
/** Sixty tokens of sequence 0 across a page border. */
const consecutive = [ints([60], Array.from({ length: 60 }, (_, i) => i + 100)), ints([60], Array<number>(60).fill(0))] as const;
/** Where rounding to f16 goes wrong first: ties, what overflows, subnormals, infinities, NaN. */
const EDGES = [0, -0, 1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, 65519.99, 65520, -1e9, Infinity, NaN, 2 ** -14, 2 ** -14 - 2 ** -26, 2 ** -24, 2 ** -25, 1.5 * 2 ** -24, -3e-6, 1e-40];
const edges = (shape: readonly number[]) => {
  const { spec, bytes } = floats(shape, 4);
  const values = new Float32Array(bytes.slice().buffer).map((x, i) => EDGES[i] ?? x);
  return { spec, bytes: bytesOf(values) };
};
/** Rounded where many rows go together; lone tokens are not. Sums of up to 64 terms differ by few parts of 4,096. */
const rounded: Case[] = [
  ['f32', 64, 32, {}], ['f32', 128, 128, { window: 70 }], ['f16', 24, 40, { chunk: 50 }], ['q8_0', 64, 64, { window: 33 }], ['f32', 256, 64, {}], ['f32', 20, 16, {}],
].map(([dtype, H, V, attrs]): Case => {
  const kept = (width: number, seed: number) => (dtype === 'f32' ? floats([6, 2, 64, width], seed) : stored({ shape: [6, 2, 64, width], dtype: dtype as 'f16' }, seed));
  return {
    op: 'paged_attention', note: `rounded, ${dtype}, heads of ${H}`, tolerance: 1e-3, attrs: { scale: 0.3, valueDim: Number(V), rounded: true, ...(attrs as object) },
    inputs: [floats([60, 6, Number(H)]), kept(Number(H), 2), kept(Number(V), 3), ...consecutive, table],
  };
});
/** All of sequence 0, in several tiles. */
const all = [ints([200], Array.from({ length: 200 }, (_, i) => i)), ints([200], Array<number>(200).fill(0))] as const;
rounded.push(...[{}, { window: 70 }].map((attrs): Case => ({
  op: 'paged_attention', note: 'rounded, several tiles', tolerance: 1e-3, attrs: { scale: 0.3, valueDim: 16, rounded: true, ...attrs },
  inputs: [floats([200, 16, 32]), floats([6, 2, 64, 32], 2), floats([6, 2, 64, 16], 3), ...all, table],
})));
const latent = floats([6, 1, 64, 56], 2);
const pages: Case[] = [
  { op: 'paged_attention', inputs: [floats([5, 6, 56]), latent, latent, tokens.positions, tokens.slots, table], attrs: { scale: 0.2, valueDim: 37 }, note: 'a latent row is keys and values' },
  { op: 'kv_append', inputs: [floats([6, 4, 64, 6]), floats([5, 4, 6], 2), tokens.positions, tokens.slots, table], note: 'rows of several sequences' },
  ...[[4, 6], [3, 5]].map(([K, H]): Case => ({
    op: 'kv_append', inputs: [half([6, K, 64, H]), edges([5, K, H]), tokens.positions, tokens.slots, table], note: `f16 pages, ${K} x ${H}`, exact: true,
  })),
  { op: 'kv_append', inputs: [stored({ shape: [6, 3, 64, 64], dtype: 'q8_0' }), edges([5, 3, 64]), tokens.positions, tokens.slots, table], note: 'q8_0 pages', exact: true },
  ...[{}, { window: 70 }].flatMap((attrs): Case[] => [
    ...[tokens, { positions: consecutive[0], slots: consecutive[1] }].map(({ positions, slots }): Case => ({
      op: 'paged_attention', note: `q8_0 pages, ${positions.spec.shape[0]} tokens`, attrs: { scale: 0.3, valueDim: 32, ...attrs },
      inputs: [floats([positions.spec.shape[0], 6, 64]), stored({ shape: [6, 2, 64, 64], dtype: 'q8_0' }, 2), stored({ shape: [6, 2, 64, 32], dtype: 'q8_0' }, 3), positions, slots, table],
    })),
    { op: 'paged_attention', inputs: [floats([5, 6, 20]), half([6, 2, 64, 20], 2), half([6, 2, 64, 13], 3), tokens.positions, tokens.slots, table], attrs: { scale: 0.3, valueDim: 13, ...attrs }, note: 'f16 pages' },
    { op: 'paged_attention', inputs: [floats([60, 6, 20]), half([6, 2, 64, 20], 2), half([6, 2, 64, 13], 3), ...consecutive, table], attrs: { scale: 0.3, valueDim: 13, ...attrs }, note: 'several tokens, f16 pages' },
  ]),
];

// What has no kernel here runs its definition.
// One row greedy, one that ends, one of padding, two drawn; then rows of which nothing can be drawn, and one with the same number twice.
const temperatures = (...values: number[]) => ({ ...floats([values.length]), bytes: bytesOf(Float32Array.from(values)) });
const sampling: Case[] = [
  ...[7, 300, 9001].map((vocabulary): Case => ({
    op: 'sample', written: [1, 2], exact: true, note: `${vocabulary} tokens`,
    inputs: [floats([5, vocabulary], vocabulary, 4), ints([5], [1, 2, 3, 4, 5]), ints([5], [10, 0, 7, 99, 4095]), ints([5], [0, -1, 2, 3, 4]), temperatures(0, 1, 0.5, 1, 1.5), ints([5], [1, 2, 3, -4, 2 ** 31 - 1])],
  })),
  ...[0, 0.7].flatMap((temperature) => [NaN, -Infinity, Infinity, 3].map((x): Case => ({
    op: 'sample', written: [1, 2], exact: true, note: `logits of ${x} at temperature ${temperature}`,
    inputs: [{ ...floats([1, 300]), bytes: bytesOf(new Float32Array(300).fill(x)) }, ints([1], [3]), ints([1], [0]), ints([1], [0]), temperatures(temperature), ints([1], [5])],
  }))),
];

export const wasmCases: readonly Case[] = [...gradientCases, ...shared, ...elementwise, ...matrices, ...experts, ...heads, ...attention, ...rounded, ...pages, ...sampling].filter(({ op }) => lowerings.has(op));
