// Every op that the GPU backend supports gives what the reference gives: the cases that all backends
// share, and here what only a GPU can get wrong (storage formats, remainders of tiles, builtins).

import { gpuKind, compare, floats, integers, stored, titled } from './support.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBackend } from '../../src/backends/webgpu/index.js';
import type { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import type { Capabilities } from '../../src/backends/webgpu/kernel.js';
import { kernelNames } from '../../src/backends/webgpu/kernels/index.js';
import { isPacked } from '../../src/backends/webgpu/packing.js';
import { BLOCKS } from '../../src/tensor/blocks.js';
import { Device, fromArray, fromBytes, getOp, linear, scope } from '../../src/tensor/index.js';
import type { Attrs, Spec } from '../../src/tensor/index.js';
import { relativeError } from '../support.js';
import { opCases } from '../ops/cases.js';
import { gradientCases } from '../wasm/gradients.js';

type AnyInput = ReturnType<typeof floats> | ReturnType<typeof stored>;
interface Case { readonly op: string; readonly inputs: readonly AnyInput[]; readonly attrs?: Attrs; readonly tolerance?: number; readonly readInput?: number; readonly note?: string; readonly changed?: Partial<Capabilities> }

/** The shared cases of the ops that have a kernel. */
const shared: Case[] = opCases.filter((c) => kernelNames.includes(c.op)).map((c) => ({ ...c, note: c.name }));

/** Training's, by each input that an op writes. */
const WRITTEN: Readonly<Record<string, readonly number[]>> = { adamw: [0, 1, 2], momentum: [0, 1] };
const training: Case[] = gradientCases.flatMap((c): Case[] => (getOp(c.op).effect ? (WRITTEN[c.op] ?? [0]).map((readInput) => ({ ...c, readInput, note: `${c.note}, input ${readInput}` })) : [c]));

const elementwise: Case[] = [
  ...['silu', 'gelu_tanh', 'sigmoid'].map((op): Case => ({ op, inputs: [floats([100], 1, 1000)], note: 'where exp overflows' })),
  { op: 'mul', inputs: [floats([4, 6, 9]), floats([6, 9], 2)], note: 'the last axes' },
  { op: 'silu_mul', inputs: [floats([3, 70], 1, 9), floats([3, 70], 2)] },
  // What fills whole vectors is taken four numbers at a time.
  ...['add', 'mul'].map((op): Case => ({ op, inputs: [floats([5, 3, 8]), floats([3, 8], 2)], note: 'whole vectors' })),
  ...['silu', 'gelu_tanh', 'sigmoid'].map((op): Case => ({ op, inputs: [floats([5, 8], 1, 5)], note: 'whole vectors' })),
  { op: 'scale', inputs: [floats([5, 8])], attrs: { factor: 0.3 }, note: 'whole vectors' },
  { op: 'silu_mul', inputs: [floats([3, 72], 1, 9), floats([3, 72], 2)], note: 'whole vectors' },
  { op: 'slice', inputs: [floats([5, 3, 12])], attrs: { start: 4, length: 4 }, note: 'whole vectors' },
  { op: 'slice', inputs: [floats([4, 12])], attrs: { start: 3, length: 4 }, note: 'whole vectors from the middle of one' },
  { op: 'concat', inputs: [floats([5, 8]), floats([5, 4], 2)], note: 'whole vectors' },
  { op: 'silu_mul', inputs: [floats([30, 72], 1, 200), floats([30, 72], 2)], note: 'far beyond where exp overflows' },
  { op: 'temperature', inputs: [floats([4, 2, 5]), integers([4], [0, 7, 8, 100_000])], attrs: { floorScale: 8, strength: 0.1 }, note: 'far out' },
  { op: 'copy', inputs: [floats([9, 7]), floats([5, 7], 2)], readInput: 0 },
  ...(['f16', 'q8_0'] as const).map((dtype): Case => ({ op: 'copy', inputs: [stored({ shape: [9, 64], dtype }), stored({ shape: [6, 64], dtype }, 2)], readInput: 0, note: dtype })),
];

const rope: Case[] = ['half', 'interleaved'].flatMap((layout) => [
  { op: 'rope', inputs: [floats([5, 3, 12]), integers([5], [0, 1, 17, 4095, 131_071]), { ...floats([4], 3), values: Float32Array.of(1, 0.7, 0.01, 0.0003) }], attrs: { layout, amplitude: 1.2 }, note: `${layout}, long positions` },
  { op: 'rope', inputs: [floats([5, 3, 8]), integers([5], [3, 2, 1, 0, 9]), { ...floats([4], 3), values: Float32Array.of(1, 0.1, 0.01, 0.001) }], attrs: { layout, amplitude: 1, inverse: true }, note: `${layout}, inverse` },
]);

const headNorms: Case[] = ['half', 'interleaved'].map((layout) => ({
  op: 'rms_norm_rope', inputs: [floats([5, 3, 140]), floats([140], 2), integers([5], [0, 1, 17, 4095, 131_071]), { ...floats([66], 3), values: Float32Array.from({ length: 66 }, (_, i) => 0.9 ** i) }],
  attrs: { layout, amplitude: 1.2, eps: 1e-6, offset: 1 }, note: layout,
}));

const headPairs: Case[] = ['half', 'interleaved'].map((layout) => ({
  op: 'rms_norm_rope_pair', inputs: [floats([5, 3, 140]), floats([5, 2, 140], 7), floats([140], 2), floats([140], 8), integers([5], [0, 1, 17, 4095, 131_071]), { ...floats([66], 3), values: Float32Array.from({ length: 66 }, (_, i) => 0.9 ** i) }],
  attrs: { layout, amplitude: 1.2, eps: 1e-6, offset: 1 }, note: layout,
}));

const rows: Case[] = [
  { op: 'rms_norm', inputs: [floats([3, 2, 700])], attrs: { eps: 1e-6, offset: 0 }, note: 'a wide workgroup' },
  ...[70, 60, 700, 8200].map((columns): Case => ({ op: 'add_rms_norm', inputs: [floats([3, columns]), floats([3, columns], 2), floats([columns], 3)], attrs: { eps: 1e-5, offset: 0.5 }, note: `${columns} columns` })),
  { op: 'layer_norm', inputs: [floats([5, 300]), floats([300], 2), floats([300], 3)], attrs: { eps: 1e-5 }, note: 'a wide workgroup' },
  { op: 'softmax', inputs: [floats([4, 600], 1, 60)], note: 'a wide workgroup' },
  { op: 'top_k', inputs: [floats([5, 130])], attrs: { k: 7 }, note: 'more choices than lanes' },
  ...[true, false].map((normalize): Case => ({ op: 'softmax_top_k', inputs: [floats([5, 130], 1, 5)], attrs: { k: 7, normalize, epsilon: 1e-3 }, note: normalize ? 'normalised' : '' })),
  { op: 'top_k', inputs: [floats([5, 64])], attrs: { k: 6, groups: 8, groupsPicked: 3, groupScore: 'sum2' }, note: 'groups' },
];

/** The formats of a matrix; block formats need whole blocks. */
function formats(shape: readonly number[]): Spec[] {
  const any: Spec[] = [{ shape, dtype: 'f32' }, { shape, dtype: 'f16' }, { shape, dtype: 'bf16' }, { shape, dtype: 'f8_e4m3' }, { shape, dtype: 'f8_e4m3', scaleBlock: [16, 24] }];
  const columns = shape.at(-1)!;
  const blocks = Object.entries(BLOCKS).filter(([, { values }]) => columns % values === 0).map(([dtype]): Spec => ({ shape, dtype: dtype as keyof typeof BLOCKS }));
  return [...any, ...blocks];
}
const named = (spec: Spec): string => `${spec.dtype}${spec.scaleBlock ? ' scaled' : ''} [${spec.shape.join(', ')}]`;

/** Prompts are normed once, not by every product. */
const MOST_NORMED = 8;

/** Products of the RMS norm of their x. */
function normedProducts(tokens: number, spec: Spec): Case[] {
  const columns = spec.shape[1];
  const [x, weight, attrs] = [floats([tokens, columns], 1, 4), floats([columns], 6), { eps: 1e-5, offset: 0.5 }];
  const note = `${tokens} tokens, ${named(spec)}`;
  return [
    { op: 'norm_linear', inputs: [x, weight, stored(spec, 2)], attrs, note },
    { op: 'norm_linear_group', inputs: [x, weight, stored(spec, 2), stored({ ...spec, shape: [3, columns] }, 3), stored({ ...spec, shape: [70, columns] }, 4)], attrs, note },
    { op: 'norm_linear_gated', inputs: [x, weight, stored(spec, 2), stored(spec, 3)], attrs, note },
  ];
}

// So many rows that workgroups keep what the norm makes of x.
const stagedNorms: Case[] = [1, 2].map((tokens): Case => ({
  op: 'norm_linear_gated', inputs: [floats([tokens, 24]), floats([24], 2), stored({ shape: [8200, 24], dtype: 'f16' }, 3), stored({ shape: [8200, 24], dtype: 'f16' }, 4)],
  attrs: { eps: 1e-5, offset: 0.5 }, note: `${tokens} tokens, many rows`,
}));

const matrices: Case[] = [[37, 96], [19, 35], [5, 4 * 37], [9, 512]].flatMap((shape) => formats(shape).flatMap((spec): Case[] => [
  { op: 'linear', inputs: [floats([1, shape[1]]), stored(spec, 2)], note: `1 token, ${named(spec)}` },
  { op: 'linear', inputs: [floats([3, shape[1]]), stored(spec, 2), floats([shape[0]], 5)], note: `3 tokens and a bias, ${named(spec)}` },
  { op: 'linear', inputs: [floats([2, 21, shape[1]]), stored(spec, 2), floats([shape[0]], 5)], note: `42 tokens and a bias, ${named(spec)}` },
  ...[3, 12].map((tokens): Case => ({ op: 'linear_silu_mul', inputs: [floats([tokens, shape[1]]), stored(spec, 2), floats([tokens, shape[0]], 5)], note: `${tokens} tokens, ${named(spec)}` })),
  ...(spec.scaleBlock ? [] : [1, 12].flatMap((tokens): Case[] => [
    { op: 'linear_group', inputs: [floats([tokens, shape[1]]), stored(spec, 2), stored({ ...spec, shape: [3, shape[1]] }, 3), stored({ ...spec, shape: [70, shape[1]] }, 4)], note: `${tokens} tokens, ${named(spec)}` },
    { op: 'linear_gated', inputs: [floats([tokens, shape[1]]), stored(spec, 2), stored(spec, 3)], note: `${tokens} tokens, ${named(spec)}` },
    ...(shape[1] > 96 ? normedProducts(Math.min(tokens, MOST_NORMED), spec) : []),
  ])),
  { op: 'linear_add', inputs: [floats([3, shape[1]]), stored(spec, 2), floats([3, shape[0]], 5)], note: named(spec) },
  { op: 'take_rows', inputs: [stored(spec, 2), integers([4], [3, -1, 0, shape[0] - 1])], note: named(spec) },
]));

// Every tiling, k divided or not, ends that fill no tile and no vector, and how the operands lie.
const products: Case[] = [
  ...[[9, 70, 40], [20, 100, 65], [33, 66, 516], [65, 130, 24], [130, 257, 36]].flatMap(([m, n, k]): Case[] => [
    { op: 'linear', inputs: [floats([m, k]), floats([n, k], 2), floats([n], 5)], note: `${m} tokens, [${n}, ${k}]` },
    { op: 'matmul', inputs: [floats([m, k]), floats([k, n], 2)], attrs: { transposeA: false }, note: `[${m}, ${k}] [${k}, ${n}]` },
    { op: 'matmul', inputs: [floats([k, m]), floats([k, n], 2)], attrs: { transposeA: true }, note: `[${k}, ${m}] transposed, [${k}, ${n}]` },
  ]),
  { op: 'linear', inputs: [floats([1040, 20]), floats([2060, 20], 2)], note: 'the largest tile' },
  { op: 'matmul', inputs: [floats([5000, 20]), floats([5000, 24], 2)], attrs: { transposeA: true }, note: 'over thousands of rows' },
  ...formats([40, 96]).map((spec): Case => ({ op: 'matmul', inputs: [floats([33, 40]), stored(spec, 2)], attrs: { transposeA: false }, note: named(spec) })),
];

const choices = integers([3, 2], [0, 4, 2, 2, 1, 3]);
const experts: Case[] = [[5, 11, 64], [5, 9, 35], [5, 6, 256]].flatMap((shape) => formats(shape).flatMap((spec): Case[] => [
  ...(spec.scaleBlock ? [] : [
    { op: 'expert_linear_gated', inputs: [floats([3, shape[2]]), stored(spec, 2), stored(spec, 3), choices], note: `shared, ${named(spec)}` },
    { op: 'expert_linear_gated', inputs: [floats([3, 2, shape[2]]), stored(spec, 2), stored(spec, 3), choices], note: named(spec) },
  ]),
  ...(spec.scaleBlock || shape[2] % 4 !== 0 ? [] : [
    { op: 'norm_expert_linear_gated', inputs: [floats([3, shape[2]], 1, 4), floats([shape[2]], 6), stored(spec, 2), stored(spec, 3), choices], attrs: { eps: 1e-5, offset: 0.5 }, note: named(spec) },
  ]),
  ...[[], [floats([3, shape[1]], 9)]].map((more): Case => (
    { op: 'expert_combine', inputs: [floats([3, 2, shape[2]]), stored(spec, 2), choices, floats([3, 2], 7), ...more], note: `${more.length ? 'and a sum, ' : ''}${named(spec)}` })),
  { op: 'expert_linear', inputs: [floats([3, shape[2]]), stored(spec, 2), integers([3, 2], [0, 4, 2, 2, 1, 3])], note: `shared, ${named(spec)}` },
  { op: 'expert_linear', inputs: [floats([3, 2, shape[2]]), stored(spec, 2), integers([3, 2], [0, 4, 2, 2, 1, 3])], note: named(spec) },
]));

// Enough choices for each expert that they are brought together; the last expert gets none.
const grouped: Case[] = [[3, 70, 64], [3, 9, 35]].flatMap((shape) => formats(shape).flatMap((spec): Case[] => {
  const indices = integers([90, 2], Array.from({ length: 180 }, (_, i) => Number(i % 7 > 4)));
  return [
    { op: 'expert_linear', inputs: [floats([90, shape[2]]), stored(spec, 2), indices], note: `many choices, shared, ${named(spec)}` },
    { op: 'expert_linear', inputs: [floats([90, 2, shape[2]]), stored(spec, 2), indices], note: `many choices, ${named(spec)}` },
  ];
}));

const heads: Case[] = [[30, 64], [30, 21]].flatMap((shape) => formats(shape).flatMap((spec): Case[] => [
  { op: 'head_linear', inputs: [floats([4, 3, shape[1]]), stored(spec, 2)], attrs: { start: 6, rows: 4, transposed: false }, note: named(spec) },
  { op: 'head_linear', inputs: [floats([4, 3, 6]), stored(spec, 2)], attrs: { start: 0, rows: 6, transposed: true }, note: `transposed, ${named(spec)}` },
])).concat([
  { op: 'head_linear', inputs: [floats([2, 3, 512]), stored({ shape: [60, 512], dtype: 'q4_0' }, 2)], attrs: { start: 1, rows: 7, transposed: false }, note: 'wide rows' },
  { op: 'head_linear', inputs: [floats([2, 3, 18]), stored({ shape: [60, 512], dtype: 'q4_0' }, 2)], attrs: { start: 1, rows: 18, transposed: true }, note: 'transposed, wide rows' },
]);

// Two sequences over scattered pages, and a padding token; entry 3 of each table has no page.
const table = integers([2, 4], [4, 1, 5, -1, 0, 3, 2, -1]);
const tokens = [integers([5], [130, 63, 64, 0, 9]), integers([5], [0, 1, 1, 1, -1])] as const;
const attention = (heads: number, width: number, kvHeads: number, attrs: Attrs, note: string): Case => ({
  op: 'paged_attention', attrs: { scale: width ** -0.5, valueDim: width, ...attrs }, note,
  inputs: [floats([5, heads, width], 1, 3), floats([6, kvHeads, 64, width], 2), floats([6, kvHeads, 64, width], 3), ...tokens, table],
});
const half = (shape: readonly number[], seed = 1) => stored({ shape, dtype: 'f16' }, seed);
/** What f16 rounds: ties to even, subnormals, the largest. */
const ROUNDED = Float32Array.from({ length: 30 }, (_, i) => [1 + 2 ** -11, 1 + 3 * 2 ** -11, -65504, 65519, 2 ** -14 - 2 ** -26, -(2 ** -24), 2 ** -25, 1.5 * 2 ** -24][i] ?? Math.sin(i) * 3);
/** A token of each of three sequences, the last one padding: 600, 1 and 65 positions. */
const decoding = (heads: number, kvHeads: number, width: number, attrs: Attrs, note: string, pages: typeof half | typeof floats = floats): Case => ({
  op: 'paged_attention', attrs: { scale: width ** -0.5, valueDim: width, ...attrs }, note: `decoding, ${note}`,
  inputs: [floats([4, heads, width], 1, 3), pages([14, kvHeads, 64, width], 2), pages([14, kvHeads, 64, width], 3), integers([4], [599, 0, 64, 5]), integers([4], [0, 1, 2, -1]),
    integers([4, 10], [3, 1, 2, 0, 11, 5, 9, 7, 4, 6, 12, ...Array<number>(9).fill(-1), 8, 13, ...Array<number>(8).fill(-1), ...Array<number>(10).fill(-1)])],
});
const decodingMany = (padding: number): Case => {
  const tokens = 160;
  return {
    op: 'paged_attention', attrs: { scale: 0.3, valueDim: 8 },
    inputs: [floats([tokens, 4, 8], 1, 3), floats([tokens, 2, 64, 8], 2), floats([tokens, 2, 64, 8], 3), integers([tokens], Array.from({ length: tokens }, (_, i) => (i * 7) % 64)),
      integers([tokens], Array.from({ length: tokens }, (_, i) => (i < tokens - padding ? i : -1))), integers([tokens, 1], Array.from({ length: tokens }, (_, i) => tokens - 1 - i))],
  };
};
const cache: Case[] = [
  attention(4, 8, 2, {}, 'grouped heads'),
  attention(3, 70, 1, {}, 'more columns than lanes'),
  attention(2, 8, 2, { window: 20 }, 'window'),
  attention(2, 8, 2, { window: 67 }, 'window over pages'),
  attention(2, 8, 2, { chunk: 48 }, 'chunk'),
  attention(4, 72, 1, { valueDim: 66 }, 'values within wider rows'),
  ...[{}, { window: 300 }].map((mask): Case => ({
    op: 'paged_attention', note: `more positions than lanes${'window' in mask ? ', window' : ''}`, attrs: { scale: 0.3, valueDim: 8, ...mask },
    inputs: [floats([2, 4, 8], 1, 3), floats([12, 2, 64, 8], 2), floats([12, 2, 64, 8], 3), integers([2], [599, 300]), integers([2], [0, 0]), integers([1, 10], [3, 1, 2, 0, 11, 5, 9, 7, 4, 6])],
  })),
  decoding(8, 2, 16, {}, 'grouped heads'),
  decoding(6, 2, 8, { window: 20 }, 'window'),
  decoding(32, 2, 8, { chunk: 48 }, 'more query heads of a key head than share a workgroup'),
  decoding(40, 20, 16, {}, 'few splits'),
  decoding(10, 2, 8, {}, 'heads that do not divide into fours'),
  decoding(4, 1, 72, { valueDim: 64 }, 'values within wider rows'),
  decoding(4, 4, 16, {}, 'f16 pages', half),
  ...[40, 0].map((padding): Case => ({ ...decodingMany(padding), note: `more tokens than workgroups for splits, ${padding} of padding` })),
  { op: 'kv_append', inputs: [floats([6, 2, 64, 3]), floats([5, 2, 3], 2), ...tokens, table], readInput: 0 },
  { op: 'kv_append', inputs: [half([6, 3, 64, 2]), { ...floats([5, 3, 2]), values: ROUNDED }, ...tokens, table], readInput: 0, tolerance: 1e-30, note: 'f16 pages' },
  ...[0, 1].flatMap((readInput): Case[] => [
    { op: 'kv_append_pair', inputs: [floats([6, 2, 64, 3]), floats([6, 2, 64, 3], 5), floats([5, 2, 3], 2), floats([5, 2, 3], 3), ...tokens, table], readInput, note: `output ${readInput}` },
    { op: 'kv_append_pair', inputs: [half([6, 3, 64, 2]), half([6, 3, 64, 2], 5), { ...floats([5, 3, 2]), values: ROUNDED }, floats([5, 3, 2], 3), ...tokens, table], readInput, tolerance: 1e-30, note: `f16 pages, output ${readInput}` },
  ]),
  ...(['half', 'interleaved'] as const).flatMap((layout) => [floats, half].flatMap((pages) => [undefined, 6, 7].map((readInput): Case => ({
    op: 'rms_norm_rope_append', readInput, attrs: { eps: 1e-5, offset: 0.5, layout, amplitude: 1.2 }, tolerance: pages === half ? 1e-3 : undefined,
    note: `${layout}, ${pages === half ? 'f16' : 'f32'} pages${readInput ? `, input ${readInput}` : ''}`,
    inputs: [floats([5, 3, 140]), floats([5, 2, 140], 7), floats([140], 2), floats([140], 8), tokens[0], { ...floats([66], 3), values: Float32Array.from({ length: 66 }, (_, i) => 0.9 ** i) },
      pages([6, 2, 64, 140], 5), pages([6, 2, 64, 140], 6), floats([5, 2, 140], 9), tokens[1], table],
  })))),
  // Two query heads of a key head, of five sequences or tokens of none; numbers that do not rotate, f16 pages, the stores;
  // short parts and such of several tiles, and the kernel for longer sequences, which memory for many pages asks for.
  ...(['half', 'interleaved'] as const).flatMap((layout) => [floats, half].flatMap((pages) => ([['', 64, 6], [', several tiles', 16, 6], [', walked', 16, 260]] as const).flatMap(([how, busyGroups, stored]) => [undefined, 6, 7].map((readInput): Case => ({
    op: 'rms_norm_rope_attention', readInput, attrs: { eps: 1e-5, offset: 0.5, layout, amplitude: 1.2, scale: 0.1, valueDim: 48, window: 150 }, changed: { busyGroups }, tolerance: pages === half ? 1e-3 : undefined,
    note: `${layout}, ${pages === half ? 'f16' : 'f32'} pages${how}${readInput ? `, input ${readInput}` : ''}`,
    inputs: [floats([4, 6, 48]), floats([4, 3, 48], 7), floats([48], 2), floats([48], 8), integers([4], [0, 70, 191, 5]), { ...floats([18], 3), values: Float32Array.from({ length: 18 }, (_, i) => 0.9 ** i) },
      pages([stored, 3, 64, 48], 5), pages([stored, 3, 64, 48], 6), floats([4, 3, 48], 9), integers([4], [3, 0, 1, -1]), integers([4, 3], [4, 1, -1, 0, 3, 2, -1, -1, -1, 5, -1, -1])],
  }))))),
  { op: 'paged_attention', inputs: [floats([5, 4, 9], 1, 3), half([6, 2, 64, 9], 2), half([6, 2, 64, 9], 3), ...tokens, table], attrs: { scale: 0.3, valueDim: 7 }, note: 'f16 pages' },
];

// One row greedy, one that ends, one of padding, two drawn; wide rows have several parts.
const sampling: Case[] = [7, 300, 9001].flatMap((vocabulary) => [1, 2].map((readInput): Case => ({
  op: 'sample', readInput, note: `${vocabulary} tokens, ${readInput === 1 ? 'tokens' : 'positions'}`,
  inputs: [floats([5, vocabulary], vocabulary, 4), integers([5], [1, 2, 3, 4, 5]), integers([5], [10, 0, 7, 99, 4095]), integers([5], [0, -1, 2, 3, 4]),
    { ...floats([5]), values: Float32Array.of(0, 1, 0.5, 1, 1.5) }, integers([5], [1, 2, 3, -4, 2 ** 31 - 1])],
})));
const noToken: Case[] = [NaN, -Infinity, Infinity].map((x) => ({
  op: 'sample', readInput: 1, note: `logits of ${x}`,
  inputs: [{ ...floats([1, 300]), values: new Float32Array(300).fill(x) }, integers([1], [3]), integers([1], [0]), integers([1], [0]), { ...floats([1]), values: Float32Array.of(0) }, integers([1], [0])],
}));

// Tiles of 32 tokens: of one sequence, of two with tokens of none between, of positions that leave pages unseen.
const many = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const prefill = (heads: number, width: number, kvHeads: number, attrs: Attrs, note: string, pages: typeof floats = floats): Case => ({
  op: 'paged_attention', attrs: { scale: width ** -0.5, valueDim: width, ...attrs }, note: `many tokens, ${note}`,
  inputs: [floats([40, heads, width], 1, 3), pages([6, kvHeads, 64, width], 2), pages([6, kvHeads, 64, width], 3), integers([40], many(150, 40)), integers([40], many(0, 40).fill(0)), integers([1, 4], [4, 1, 5, -1])],
});
const prefills: Case[] = [
  prefill(4, 8, 2, {}, 'grouped heads'),
  prefill(2, 72, 1, {}, 'a width that no step divides'),
  prefill(2, 128, 1, {}, 'the usual width'),
  prefill(1, 264, 1, { valueDim: 260 }, 'values within wide rows'),
  prefill(2, 8, 2, { window: 20 }, 'window'),
  prefill(2, 8, 2, { window: 100 }, 'window over pages'),
  prefill(2, 8, 2, { chunk: 48 }, 'chunk'),
  prefill(2, 16, 1, {}, 'f16 pages', ((shape: readonly number[], seed?: number) => half(shape, seed)) as unknown as typeof floats),
  {
    op: 'paged_attention', attrs: { scale: 0.3, valueDim: 8, window: 30 }, note: 'many tokens, two sequences and none',
    inputs: [floats([90, 2, 8], 1, 3), floats([6, 1, 64, 8], 2), floats([6, 1, 64, 8], 3), integers([90], [...many(20, 50), ...many(0, 5), ...many(0, 20), ...many(160, 15)]),
      integers([90], many(0, 90).map((i) => (i < 50 ? 0 : i < 55 ? -1 : 1))), integers([2, 4], [4, 1, -1, -1, 0, -1, 2, -1])],
  },
];

const cases = [...shared, ...training, ...elementwise, ...rope, ...headNorms, ...headPairs, ...rows, ...stagedNorms, ...matrices, ...products, ...experts, ...grouped, ...heads, ...cache, ...prefills, ...sampling, ...noToken];

describe.skipIf(!gpuKind)(titled('ops'), () => {
  let backend: WebGpuBackend;
  beforeAll(async () => { backend = await createBackend(); });
  afterAll(() => {
    expect(backend.counts).toMatchObject({ buffers: 0, usedBytes: 0 });
    backend.dispose();
  });

  async function withCapabilities(changed: Partial<Capabilities>, run: () => Promise<void>): Promise<void> {
    const { capabilities } = backend.gpu;
    backend.gpu.capabilities = { ...capabilities, ...changed };
    try {
      await run();
    } finally {
      backend.gpu.capabilities = capabilities;
    }
  }

  // Parts of 256 rows; the last is not full.
  it.each([1, 20].flatMap((tokens) => ([['f32', 40_000], ['f16', 20_000], ['q8_0', 10_000]] as const).map(([dtype, bytes]) => ({ tokens, dtype, bytes }))))('takes a matrix of which kernels see $bytes bytes in parts: $tokens tokens, $dtype', async ({ tokens, dtype, bytes }) => {
    await withCapabilities({ bindingBytes: bytes }, async () => {
      const table = stored({ shape: [700, 32], dtype }, 2);
      await compare(backend, 'linear', [floats([tokens, 32]), table, floats([700], 3)]);
      await compare(backend, 'take_rows', [table, integers([tokens + 4], [699, 0, 255, 256, ...new Array<number>(tokens).fill(512)])]);
    });
  });

  it.each(['q8_0', 'q4_0'] as const)('hands %s blocks back as they were given, and packs them again', async (dtype) => {
    const device = new Device(backend);
    const spec: Spec = { shape: [9, 512], dtype };
    const [x, other] = [floats([1, 512]), stored(spec, 3)];
    const matrix = fromBytes(device, spec, stored(spec, 2).bytes).retain();
    const row = fromArray(device, x.spec.shape, x.values).retain();
    const product = async () => scope(() => linear(row, matrix).retain());
    const first = await product();
    expect(await matrix.read()).toEqual(stored(spec, 2).bytes);
    backend.write(matrix.storage.id, 0, other.bytes);
    const second = await product();
    expect(await matrix.read()).toEqual(other.bytes);
    expect(relativeError(await first.toFloat32(), await second.toFloat32())).toBeGreaterThan(0.1);
    for (const tensor of [matrix, row, first, second]) tensor.release();
    await compare(backend, 'linear', [x, other], {}, { tolerance: 0.02 });
  });

  it.each(['attention', 'attention_grad'])('%s of heads of several pieces in the workgroup memory that is certain', async (op) => {
    const { capabilities } = backend.gpu;
    backend.gpu.capabilities = { ...capabilities, workgroupBytes: 16384 };
    try {
      const { inputs, attrs, tolerance } = cases.find((c) => c.op === op && c.note === 'several pieces')!;
      await compare(backend, op, inputs, attrs, { tolerance });
    } finally {
      backend.gpu.capabilities = capabilities;
    }
  });

  it.each([
    { title: 'without subgroups', changed: { subgroupLanes: 1 } },
    { title: 'divided as for a large GPU', changed: { busyGroups: 512 } },
  ])('attends $title', ({ changed }) => {
    const { op, inputs, attrs } = cache.find((c) => c.note === 'decoding, grouped heads')!;
    return withCapabilities(changed, () => compare(backend, op, inputs, attrs));
  });

  it('has a case for every kernel', () => {
    expect([...new Set(cases.map((c) => c.op))].sort()).toEqual([...kernelNames].sort());
  });

  for (const { op, inputs, attrs, note, tolerance, readInput, changed } of cases) {
    it(`${op}${note ? `: ${note}` : ''}`, () => {
      // Matrix units take f16: activations are rounded to 2^-12 of themselves.
      const rounded = backend.gpu.capabilities.matrix && ['linear', 'expert_linear'].includes(op) && inputs[1].spec.dtype !== 'f32';
      return withCapabilities({ integerProducts: false, ...changed }, () => compare(backend, op, inputs, attrs, { tolerance: rounded ? 1e-3 : tolerance, readInput }));
    });
    // Activations in bytes are off by up to 2^-8 of the largest of 32.
    if (inputs.some(({ spec }) => isPacked(spec))) it(`${op}${note ? `: ${note}` : ''}, in integers`, () => withCapabilities({ integerProducts: true }, () => compare(backend, op, inputs, attrs, { tolerance: 0.02, readInput })));
  }
});
