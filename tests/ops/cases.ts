// One list of cases for every op, run on every backend: small shapes with the corners in them.
// A backend is held to each op's own plain loops (`reference`); gradients to finite differences.

import type { Attrs, Spec } from '../../src/tensor/index.js';
import { noise } from '../numbers.js';

export interface Input {
  readonly spec: Spec;
  readonly values: Float32Array | Int32Array;
}

export interface OpCase {
  readonly op: string;
  readonly name: string;
  readonly inputs: readonly Input[];
  readonly attrs?: Attrs;
  /** Inputs whose gradient is checked against finite differences. */
  readonly differentiable?: readonly number[];
  /** Outputs that gradients come from, where it is not all of them. */
  readonly seeded?: readonly number[];
  /** Backends for inference need not have it. */
  readonly training?: true;
}

let seed = 1;
/** Float32 input of noise. */
function f32(...shape: number[]): Input {
  return { spec: { shape, dtype: 'f32' }, values: noise(shape.reduce((a, b) => a * b, 1), seed++) };
}
function ints(shape: number[], values: number[]): Input {
  return { spec: { shape, dtype: 'i32' }, values: Int32Array.from(values) };
}
const vector = (...values: number[]) => ints([values.length], values);
const positive = (input: Input): Input => ({ ...input, values: Float32Array.from(input.values, (v) => Math.abs(v) + 0.1) });

const elementwise: OpCase[] = [
  ...['add', 'mul'].flatMap((op): OpCase[] => [
    { op, name: 'equal shapes', inputs: [f32(3, 5), f32(3, 5)], differentiable: [0, 1] },
    { op, name: 'a row on every row', inputs: [f32(4, 7), f32(7)], differentiable: [0, 1] },
    { op, name: 'a matrix on every matrix', inputs: [f32(2, 3, 4), f32(3, 4)], differentiable: [0, 1] },
    { op, name: 'longer than a SIMD block', inputs: [f32(5, 67), f32(5, 67)] },
  ]),
  ...['silu', 'gelu_tanh', 'sigmoid'].flatMap((op): OpCase[] => [
    { op, name: 'a matrix', inputs: [f32(3, 9)], differentiable: [0] },
    { op, name: 'large magnitudes', inputs: [{ spec: { shape: [1, 6], dtype: 'f32' }, values: Float32Array.of(-90, -20, 0, 1e-8, 20, 90) }] },
  ]),
  { op: 'scale', name: 'by a constant', inputs: [f32(2, 33)], attrs: { factor: 2.5 }, differentiable: [0] },
  { op: 'sum_to', name: 'over leading axes', inputs: [f32(3, 2, 5)], attrs: { shape: [5] }, differentiable: [0], training: true },
  { op: 'repeat_to', name: 'over leading axes', inputs: [f32(2, 5)], attrs: { shape: [3, 2, 5] }, differentiable: [0], training: true },
  { op: 'maximum', name: 'equal shapes', inputs: [f32(3, 5), f32(3, 5)], training: true },
  { op: 'clip_scale', name: 'above the limit', inputs: [positive(f32(70)), f32(1)], attrs: { limit: 0.5 }, training: true },
  { op: 'clip_scale', name: 'below the limit', inputs: [positive(f32(3)), f32(1)], attrs: { limit: 9 }, training: true },
  { op: 'clip_scale', name: 'what is not finite', inputs: [positive(f32(3)), { spec: { shape: [1], dtype: 'f32' }, values: Float32Array.of(NaN) }], attrs: { limit: 9 }, training: true },
];

const normal: OpCase[] = [
  { op: 'rms_norm', name: 'weighted', inputs: [f32(3, 8), f32(8)], attrs: { eps: 1e-6, offset: 0 }, differentiable: [0, 1] },
  { op: 'rms_norm', name: 'weight stored less one', inputs: [f32(2, 33), f32(33)], attrs: { eps: 1e-5, offset: 1 }, differentiable: [0, 1] },
  { op: 'rms_norm', name: 'without a weight, per head', inputs: [f32(2, 3, 4)], attrs: { eps: 1e-5, offset: 0 }, differentiable: [0] },
  { op: 'layer_norm', name: 'a matrix', inputs: [f32(3, 6), f32(6), f32(6)], attrs: { eps: 1e-5 }, differentiable: [0, 1, 2] },
  { op: 'layer_norm', name: 'an odd width', inputs: [f32(2, 131), f32(131), f32(131)], attrs: { eps: 1e-5 } },
  { op: 'softmax', name: 'rows', inputs: [f32(3, 7)], differentiable: [0] },
  { op: 'softmax', name: 'large scores', inputs: [{ spec: { shape: [1, 4], dtype: 'f32' }, values: Float32Array.of(500, 499, -500, 500) }] },
  { op: 'normalize_sum', name: 'routing weights', inputs: [positive(f32(3, 4))], attrs: { epsilon: 1e-20 }, differentiable: [0] },
];

const matrices: OpCase[] = [
  { op: 'linear', name: 'one row', inputs: [f32(1, 8), f32(5, 8)], differentiable: [0, 1] },
  { op: 'linear', name: 'rows with a bias', inputs: [f32(3, 6), f32(4, 6), f32(4)], differentiable: [0, 1, 2] },
  { op: 'linear', name: 'extents that no tile divides', inputs: [f32(9, 67), f32(21, 67)] },
  { op: 'linear', name: 'heads as rows', inputs: [f32(2, 3, 5), f32(4, 5)], differentiable: [0, 1] },
  { op: 'matmul', name: 'plain', inputs: [f32(3, 4), f32(4, 5)], attrs: { transposeA: false }, training: true },
  { op: 'matmul', name: 'transposed', inputs: [f32(4, 3), f32(4, 5)], attrs: { transposeA: true }, training: true },
  ...[[false, false], [true, false], [false, true]].map(([transposeA, transposeB]): OpCase => ({
    op: 'batched_matmul', name: `${transposeA ? 'A transposed' : transposeB ? 'B transposed' : 'plain'}, with an addend`, training: true,
    inputs: [transposeA ? f32(3, 4, 5) : f32(3, 5, 4), transposeB ? f32(3, 6, 4) : f32(3, 4, 6), f32(3, 5, 6)], attrs: { transposeA, transposeB, alpha: 1.5, beta: -0.5 },
  })),
  { op: 'batched_matmul', name: 'one matrix', inputs: [f32(1, 5, 7), f32(1, 7, 4)], attrs: { transposeA: false, transposeB: false, alpha: 1, beta: 1 }, training: true },
  { op: 'head_linear', name: 'plain', inputs: [f32(2, 3, 5), f32(3 * 6, 5)], attrs: { start: 2, rows: 4, transposed: false }, differentiable: [0, 1] },
  { op: 'head_linear', name: 'transposed', inputs: [f32(2, 3, 4), f32(3 * 6, 5)], attrs: { start: 0, rows: 4, transposed: true }, differentiable: [0, 1] },
  { op: 'expert_linear', name: 'one row for all choices', inputs: [f32(3, 4), f32(5, 6, 4), ints([3, 2], [0, 4, 1, 0, 3, 2])], differentiable: [0, 1] },
  { op: 'expert_linear', name: 'a row per choice', inputs: [f32(3, 2, 4), f32(5, 6, 4), ints([3, 2], [0, 4, 1, 0, 3, 3])], differentiable: [0, 1] },
  { op: 'combine', name: 'weighted choices', inputs: [f32(3, 2, 5), f32(3, 2)], differentiable: [0, 1] },
  { op: 'outer', name: 'scaled inputs', inputs: [f32(3, 2), f32(3, 5)], differentiable: [0, 1] },
];

const choosing: OpCase[] = [
  { op: 'top_k', name: 'largest first', inputs: [f32(3, 8)], attrs: { k: 3 }, differentiable: [0] },
  { op: 'top_k', name: 'the lowest index among equals', inputs: [{ spec: { shape: [1, 6], dtype: 'f32' }, values: Float32Array.of(1, 2, 2, 0, 2, 1) }], attrs: { k: 4 } },
  { op: 'top_k', name: 'best groups by their two largest', inputs: [f32(4, 12)], attrs: { k: 3, groups: 4, groupsPicked: 2, groupScore: 'sum2' } },
  { op: 'top_k', name: 'best groups by their largest', inputs: [f32(4, 12)], attrs: { k: 2, groups: 3, groupsPicked: 1, groupScore: 'max' } },
  { op: 'top_k', name: 'all negative', inputs: [{ spec: { shape: [1, 8], dtype: 'f32' }, values: Float32Array.of(-5, -1, -2, -8, -3, -9, -7, -4) }], attrs: { k: 3, groups: 4, groupsPicked: 2, groupScore: 'sum2' } },
  { op: 'gather', name: 'of each row', inputs: [f32(3, 6), ints([3, 2], [5, 0, 1, 1, 2, 4])], differentiable: [0] },
  { op: 'scatter', name: 'into each row', inputs: [f32(3, 2), ints([3, 2], [5, 0, 1, 1, 2, 4])], attrs: { width: 6 }, differentiable: [0], training: true },
  { op: 'sequence_loads', name: 'of three sequences', inputs: [ints([6, 2], [3, 0, 1, 3, 2, 1, 0, 2, 0, 1, 3, 0]), ints([6], [0, 0, 2, 3, 3, 3])], attrs: { experts: 4 }, training: true },
  { op: 'count_indices', name: 'of two axes', inputs: [ints([3, 2], [5, 0, 1, 1, 2, 1])], attrs: { width: 7 }, training: true },
  { op: 'take_rows', name: 'with repeats and padding', inputs: [f32(5, 4), vector(3, 0, -1, 3)], differentiable: [0] },
  { op: 'slice', name: 'columns', inputs: [f32(3, 2, 7)], attrs: { start: 2, length: 4 }, differentiable: [0] },
  { op: 'concat', name: 'columns', inputs: [f32(3, 2, 3), f32(3, 2, 4)], differentiable: [0, 1] },
];

const placed: OpCase[] = [
  { op: 'rope', name: 'half-split', inputs: [f32(3, 2, 8), vector(0, 7, 100), f32(4)], attrs: { layout: 'half', amplitude: 1 }, differentiable: [0] },
  { op: 'rope', name: 'interleaved with an amplitude', inputs: [f32(3, 2, 8), vector(3, 4, 5), f32(4)], attrs: { layout: 'interleaved', amplitude: 1.3 }, differentiable: [0] },
  { op: 'rope', name: 'a part of each head', inputs: [f32(2, 3, 8), vector(9, 10), f32(2)], attrs: { layout: 'half', amplitude: 1 }, differentiable: [0] },
  { op: 'temperature', name: 'across steps', inputs: [f32(4, 2, 3), vector(0, 15, 16, 200)], attrs: { floorScale: 16, strength: 0.1 }, differentiable: [0] },
];

/** Two sequences of 4 and 3 tokens laid end to end. */
const rows = { positions: vector(0, 1, 2, 3, 0, 1, 2), starts: vector(0, 0, 0, 0, 4, 4, 4) };
const attention = (name: string, N: number, K: number, H: number, V: number, attrs: Attrs, shared = false): OpCase => {
  const k = f32(7, K, H);
  return {
    op: 'attention', name, inputs: [f32(7, N, H), k, shared ? k : f32(7, K, V), rows.positions, rows.starts],
    attrs: { scale: 0.4, valueDim: V, ...attrs }, differentiable: shared ? [0] : [0, 1, 2], seeded: [0], training: true,
  };
};

const largest = (name: string, N: number, K: number, H: number, attrs: Attrs): OpCase => ({
  op: 'attention_max', name, inputs: [f32(7, N, H), f32(7, K, H), rows.positions, rows.starts], attrs: { scale: 0.4, valueDim: H, ...attrs }, training: true,
});

/** Pages of 64: sequence 0 has 70 tokens in pages 2 and 0, sequence 1 three in page 1. */
const PAGES = 3;
const paged = (name: string, N: number, K: number, H: number, V: number, attrs: Attrs): OpCase => ({
  op: 'paged_attention', name,
  inputs: [
    f32(5, N, H), f32(PAGES, K, 64, H), V === H ? f32(PAGES, K, 64, V) : f32(PAGES, K, 64, H),
    vector(69, 2, 0, 40, 0), vector(0, 1, 0, 0, -1), ints([2, 4], [2, 0, -1, -1, 1, -1, -1, -1]),
  ],
  attrs: { scale: 0.3, valueDim: V, ...attrs },
});

/**
 * Several new tokens of a sequence at once: 75 of sequence 0 from position 50 on (over two page borders), a
 * decoding token of sequence 1, seven of sequence 2 from its start, two that leave a gap, padding.
 */
const run = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
const prefill = {
  positions: [...run(50, 75), 66, ...run(0, 7), 3, 5, 0, 0],
  slots: [...Array<number>(75).fill(0), 1, ...Array<number>(9).fill(2), -1, -1],
  table: ints([3, 3], [3, 0, 5, 1, 4, -1, 2, -1, -1]),
};
const prefilled = (name: string, N: number, K: number, H: number, V: number, attrs: Attrs, store?: 'shared'): OpCase => {
  const k = f32(6, K, 64, H);
  return {
    op: 'paged_attention', name: `several tokens, ${name}`,
    inputs: [f32(prefill.slots.length, N, H), k, store === 'shared' ? k : f32(6, K, 64, V), vector(...prefill.positions), vector(...prefill.slots), prefill.table],
    attrs: { scale: 0.3, valueDim: V, ...attrs },
  };
};

const attending: OpCase[] = [
  attention('multi-head', 2, 2, 4, 4, {}),
  attention('grouped queries', 4, 2, 4, 4, {}),
  attention('sliding window', 2, 1, 4, 4, { window: 2 }),
  attention('chunks', 2, 1, 4, 4, { chunk: 2 }),
  attention('values narrower than keys', 2, 1, 6, 3, {}),
  largest('grouped queries', 4, 2, 6, {}),
  largest('sliding window', 2, 2, 5, { window: 2 }),
  paged('grouped queries', 4, 2, 8, 8, {}),
  paged('multi-head', 3, 3, 5, 5, {}),
  paged('sliding window', 2, 1, 8, 8, { window: 9 }),
  paged('chunks', 2, 1, 8, 8, { chunk: 16 }),
  paged('values are the first columns of keys', 4, 1, 12, 8, {}),
  prefilled('grouped queries', 4, 2, 16, 16, {}),
  prefilled('multi-head, odd widths', 3, 3, 7, 5, {}),
  prefilled('many heads of one key', 20, 1, 10, 10, {}),
  prefilled('sliding window', 4, 2, 8, 8, { window: 9 }),
  prefilled('window over a page', 2, 1, 8, 8, { window: 70 }),
  prefilled('chunks', 2, 1, 8, 8, { chunk: 16 }),
  prefilled('large scores', 2, 1, 8, 8, { scale: 40 }),
  prefilled('values are the first columns of keys', 12, 1, 20, 13, {}, 'shared'),
];

const losses: OpCase[] = [
  { op: 'cross_entropy', name: 'mean over rows', inputs: [f32(3, 7), vector(6, 0, 3)], differentiable: [0], training: true },
];

export const opCases: readonly OpCase[] = [...elementwise, ...normal, ...matrices, ...choosing, ...placed, ...attending, ...losses];

/** Ops without a case of their own, and why. */
export const coveredElsewhere: Readonly<Record<string, string>> = {
  kv_append: 'changes its first input: tests/ops/pages.test.ts',
  copy: 'changes its first input: tests/ops/pages.test.ts',
  sample: 'changes its second and third input: tests/engine/draw.test.ts and tests/webgpu/ops.test.ts',
  ...Object.fromEntries(['adamw', 'momentum', 'step_along', 'sum_squares', 'clip_heads', 'move_bias'].map((op) => [op, 'changes its first inputs: tests/wasm/gradients.ts'])),
  add_rms_norm: 'only plans contain it: tests/ops/fuse.test.ts',
  silu_mul: 'only plans contain it: tests/ops/fuse.test.ts',
  ...Object.fromEntries([
    'linear_silu_mul', 'linear_group', 'linear_gated', 'linear_add', 'norm_linear', 'norm_linear_group', 'norm_linear_gated', 'expert_linear_gated', 'norm_expert_linear_gated',
    'expert_combine', 'softmax_top_k', 'rms_norm_rope', 'rms_norm_rope_pair',
  ].map((op) => [op, 'only plans contain it: tests/ops/fuse.test.ts and tests/webgpu/ops.test.ts'])),
  rms_norm_rope_append: 'changes two of its inputs: tests/webgpu/ops.test.ts',
  rms_norm_rope_attention: 'changes two of its inputs: tests/webgpu/ops.test.ts',
  kv_append_pair: 'changes its first inputs: tests/webgpu/ops.test.ts',
  pad: 'gradient of slice', add_rows: 'gradient of take_rows', softmax_grad: 'gradient of softmax', normalize_sum_grad: 'gradient of normalize_sum',
  rms_norm_grad: 'gradient of rms_norm', layer_norm_grad: 'gradient of layer_norm', combine_grad: 'gradient of combine', attention_grad: 'gradient of attention',
  cross_entropy_grad: 'gradient of cross_entropy', head_linear_grad: 'gradient of head_linear',
  expert_linear_grad_input: 'gradient of expert_linear', expert_linear_grad_weight: 'gradient of expert_linear',
  silu_grad: 'gradient of silu', gelu_tanh_grad: 'gradient of gelu_tanh', sigmoid_grad: 'gradient of sigmoid',
};
