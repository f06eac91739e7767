// Products of a matrix and few tokens, which wait for the matrix to be read: decoding. Block formats that
// integers can be multiplied with as they lie are, after a dispatch that quantises the activations; others are unpacked.

import { byteLength, elementCount } from '../../../tensor/index.js';
import type { Call, Operand, Spec } from '../../../tensor/index.js';
import { count, float, scratch } from '../kernel.js';
import type { Bound, Capabilities, Dispatch, Kernel } from '../kernel.js';
import { isPacked } from '../packing.js';
import { isWeight, weightConstants, weightParameters } from './weight.js';

/** Tokens up to which it pays to read the matrix once for all of them, each lane adding up by itself. */
const FEW_TOKENS = 8;
/** Lanes of a workgroup. */
const PRODUCT_LANES = 128;
/** From so many rows on there is work for all of a large GPU with two rows a team. */
const MANY_ROWS = 4096;
/** Up to so many, each workgroup quantises the rows of x for itself. */
const MOST_QUANTISING = 16384;
/** Bytes of normed rows that a workgroup keeps (more would leave too few workgroups on a processor), and rows of matrices from which that pays. */
const [MOST_STAGED, STAGED_ROWS] = [16384, 16384];
/** Bytes of workgroup memory that sums take beside, for each row of x. */
const OTHER_BYTES = 3072;
/** Whether x, [..., columns], has few rows. */
export const isFew = (x: Spec, w: Spec): boolean => elementCount(x.shape) / w.shape[1] <= FEW_TOKENS;
/** Whether a kernel sees a matrix whole; only plain products take it in parts. */
const isSeen = (w: Spec, { bindingBytes }: Capabilities): boolean => isWeight(w) && byteLength(w) <= bindingBytes;
/** Whether one kernel reads all matrices: the same reader and the same rows of x. */
const alike = (matrices: readonly Spec[], device: Capabilities): boolean =>
  matrices.every((w) => isSeen(w, device) && !w.scaleBlock && w.dtype === matrices[0].dtype && w.shape.at(-1) === matrices[0].shape.at(-1));

/** The weight of a norm that goes before the product, and its constants. */
interface Norm { readonly weight: Operand; readonly eps: number; readonly offset: number }

/** What a product does, but for its own outputs and parameters. */
interface Product {
  readonly x: Operand;
  readonly matrices: readonly Bound[];
  /** What it reads beside. */
  readonly others?: readonly Operand[];
  readonly norm?: Norm;
  /** Rows of x that a workgroup multiplies a matrix with at once. */
  readonly tokens: number;
  /** Rows of all matrices, over all workgroups. */
  readonly rows: number;
  /** Rows of x that a workgroup sees, where those are more. */
  readonly xRows?: number;
}

const normConstants = (norm: Norm | undefined): number[] => [float(norm?.eps ?? 0), float(norm?.offset ?? 0)];

/** How a product is dealt to lanes: what was fastest on an H100 (docs/log.md); what runs before it, and what all kernels of products are given. */
function plan({ x, matrices, others = [], norm, tokens, rows, xRows = tokens }: Product, { subgroupLanes, integerProducts, workgroupBytes }: Capabilities) {
  const w = matrices[0].spec;
  const columns = w.shape.at(-1)!;
  const integer = integerProducts && isPacked(w);
  const group = PRODUCT_LANES * ((norm && !integer) || (integer && rows >= MANY_ROWS && tokens === 1) ? 2 : 1);
  // Where workgroups are few, each quantises for itself; else a dispatch before does it for all.
  const quantising = integer && xRows === tokens && rows < MOST_QUANTISING && xRows * (columns + columns / 8) + OTHER_BYTES * tokens <= workgroupBytes;
  const separately = integer && !quantising;
  // Two rows share what is read of x.
  const [EACH, UNROLL] = rows >= MANY_ROWS ? [2, norm && !integer ? 4 : 2] : [1, 4];
  const most = integer || norm ? 32 : PRODUCT_LANES;
  const LANES = Math.min(most, Math.max(8, 2 ** Math.floor(Math.log2(columns / 8))));
  // A team must be whole subgroups.
  const SUBGROUP = subgroupLanes <= LANES ? subgroupLanes : 1;
  const HALVES_APART = w.dtype === 'q4_0';
  const before = separately ? [quantised(x, columns, HALVES_APART, norm, subgroupLanes)] : [];
  const inKernel = separately ? undefined : norm;
  const STAGED = inKernel !== undefined && !integer && rows >= STAGED_ROWS && xRows === tokens && columns % 8 === 0 && 4 * xRows * columns <= Math.min(MOST_STAGED, workgroupBytes - OTHER_BYTES * tokens);
  const reads = [separately ? before[0].writes[0] : x, ...matrices, ...others, ...(inKernel ? [inKernel.weight] : [])];
  return {
    before, reads, group, rowsPerGroup: (group / LANES) * EACH, constants: weightConstants(w), normConstants: normConstants(inKernel),
    parameters: {
      ...weightParameters(w), PRODUCTS: integer ? 'integer' : 'float', X: separately ? 'integer' : integer ? 'quantising' : 'float', COLUMNS: columns, KNOWN_COLUMNS: true, STAGED, HALVES_APART, LANES, EACH, UNROLL, TOKENS: 2 ** Math.ceil(Math.log2(Math.max(tokens, 1))), X_ROWS: xRows,
      SUBGROUP, SUBGROUPS: SUBGROUP > 1, NORM: inKernel !== undefined, NORM_AT: reads.length + 1,
    },
  };
}

/** Scratch memory that no other dispatch of a product of few tokens uses. */
const QUANTISED = 0;
/** Numbers that a workgroup quantises where there is no norm to wait for. */
const CHUNK = 1024;

function quantised(x: Operand, columns: number, HALVES_APART: boolean, norm: Norm | undefined, subgroupLanes: number): Dispatch {
  const rows = count(x) / columns;
  const CHUNKS = norm || columns % CHUNK !== 0 ? 1 : columns / CHUNK;
  const SUBGROUP = subgroupLanes <= 64 ? subgroupLanes : 1;
  return {
    source: 'quantise_rows', writes: [scratch(QUANTISED, { shape: [rows, (columns * 5) / 16], dtype: 'i32' })], reads: norm ? [x, norm.weight] : [x],
    parameters: { COLUMNS: columns, CHUNKS, HALVES_APART, NORM: norm !== undefined, SUBGROUP, SUBGROUPS: SUBGROUP > 1 },
    constants: [rows, ...normConstants(norm)], groups: rows * CHUNKS, group: columns / CHUNKS >= CHUNK ? 256 : 64,
  };
}

const rowsOf = (x: Operand, w: Operand): number => count(x) / w.spec.shape.at(-1)!;

interface Linear { readonly x: Operand; readonly w: Bound; readonly y: Operand; readonly bias?: Bound; readonly gate?: Operand; readonly add?: Operand; readonly norm?: Norm }

/** y = x W^T, and what may come before and behind it. */
export function fewTokens({ x, w, y, bias, gate, add, norm }: Linear, device: Capabilities): Dispatch[] {
  const [[rows], tokens] = [w.spec.shape, rowsOf(x, w)];
  const { before, parameters, reads, constants, rowsPerGroup, group, normConstants } = plan({ x, matrices: [w], others: [bias, gate, add].filter((operand) => operand !== undefined), norm, tokens, rows }, device);
  return [...before, {
    source: 'linear', writes: [y], reads, constants: [...constants, tokens, rows, ...normConstants],
    parameters: { ...parameters, BIAS: bias !== undefined, GATE: gate !== undefined, ADD: add !== undefined, OTHER: (gate ?? add) !== undefined },
    group, groups: Math.ceil(rows / rowsPerGroup),
  }];
}

function side(x: Operand, matrices: readonly Operand[], { outputs: [first, ...others] }: Call, device: Capabilities, norm?: Norm): Dispatch[] {
  const [rows, tokens] = [matrices.map((w) => w.spec.shape[0]), rowsOf(x, matrices[0])];
  const { before, parameters, reads, constants, rowsPerGroup, group, normConstants } = plan({ x, matrices, norm, tokens, rows: rows.reduce((a, b) => a + b) }, device);
  return [...before, {
    source: 'linear_group', parameters: { ...parameters, COPIES: 3, OTHERS_AT: reads.length + 2 }, writes: [first], reads, alsoWrites: others,
    constants: [...constants, tokens, ...normConstants, 0, ...rows], group, groups: rows.reduce((sum, n) => sum + Math.ceil(n / rowsPerGroup), 0),
  }];
}

function gated(x: Operand, matrices: readonly Operand[], { outputs }: Call, device: Capabilities, norm?: Norm): Dispatch[] {
  const [[rows], tokens] = [matrices[0].spec.shape, rowsOf(x, matrices[0])];
  const { before, parameters, reads, constants, rowsPerGroup, group, normConstants } = plan({ x, matrices, norm, tokens, rows: 2 * rows }, device);
  return [...before, {
    source: 'linear_gated', parameters: { ...parameters, COPIES: 2 }, writes: outputs, reads, constants: [...constants, tokens, rows, ...normConstants], group, groups: Math.ceil(rows / rowsPerGroup),
  }];
}

interface Experts { readonly x: Operand; readonly matrices: readonly Operand[]; readonly indices: Operand; readonly y: Operand; readonly norm?: Norm }

/** Each choice through its expert's matrix, or through the gate and the other of two. */
export function fewExperts({ x, matrices, indices, y, norm }: Experts, device: Capabilities): Dispatch[] {
  const [choices, rows] = [count(indices), matrices[0].spec.shape[1]];
  const { before, parameters, reads, constants, rowsPerGroup, group, normConstants } = plan({ x, matrices, others: [indices], norm, tokens: 1, rows: choices * rows * matrices.length }, device);
  return [...before, {
    source: 'expert_linear', writes: [y], reads,
    parameters: { ...parameters, COPIES: matrices.length, GATED: matrices.length === 2, INDICES_AT: 3 + matrices.length, SHARED: x.spec.shape.length === 2 },
    constants: [...constants, 1, rows, ...normConstants, choices, indices.spec.shape[1]], group, groups: choices * Math.ceil(rows / rowsPerGroup),
  }];
}

function combined({ inputs: [x, w, ...others], outputs }: Call, device: Capabilities): Dispatch[] {
  const [[tokens, choices], rows] = [others[0].spec.shape, w.spec.shape[1]];
  const { before, parameters, reads, constants, rowsPerGroup, group } = plan({ x, matrices: [w], others, tokens: 1, xRows: choices, rows: tokens * rows }, device);
  return [...before, {
    source: 'expert_combine', writes: outputs, reads, parameters: { ...parameters, COMBINE: true, ADD: others.length === 3 },
    constants: [...constants, 1, rows, tokens], group, groups: tokens * Math.ceil(rows / rowsPerGroup),
  }];
}

const isFloat = (...specs: readonly (Spec | undefined)[]): boolean => specs.every((spec) => !spec || spec.dtype === 'f32');
const normOf = ({ inputs: [, weight], attrs }: Call): Norm => ({ weight, ...(attrs as { eps: number; offset: number }) });
/** Norms are read in vectors of four. */
const normable = (x: Spec, weight: Spec): boolean => isFloat(x, weight) && x.shape.at(-1)! % 4 === 0;
/** So many tokens read the experts they chose one by one; more are brought together (see product.ts). */
const FEW_CHOICES = 64;
const fewChoices = (indices: Spec): boolean => elementCount(indices.shape) <= FEW_CHOICES;

export const fewTokenKernels: Readonly<Record<string, Kernel>> = {
  linear_silu_mul: {
    accepts: ([x, w, up], _, device) => isFloat(x, up) && isSeen(w, device) && isFew(x, w),
    dispatch: ({ inputs: [x, w, gate], outputs: [y] }, _, device) => fewTokens({ x, w, gate, y }, device),
  },
  linear_add: {
    accepts: ([x, w, more], _, device) => isFloat(x, more) && isSeen(w, device) && isFew(x, w),
    dispatch: ({ inputs: [x, w, add], outputs: [y] }, _, device) => fewTokens({ x, w, add, y }, device),
  },
  norm_linear: {
    accepts: ([x, weight, w, bias], _, device) => !bias && normable(x, weight) && isSeen(w, device) && isFew(x, w),
    dispatch: (call, _, device) => fewTokens({ x: call.inputs[0], w: call.inputs[2], y: call.outputs[0], norm: normOf(call) }, device),
  },
  linear_group: {
    accepts: ([x, ...matrices], _, device) => isFloat(x) && matrices.length === 3 && alike(matrices, device) && isFew(x, matrices[0]),
    dispatch: (call, _, device) => side(call.inputs[0], call.inputs.slice(1), call, device),
  },
  norm_linear_group: {
    accepts: ([x, weight, ...matrices], _, device) => normable(x, weight) && matrices.length === 3 && alike(matrices, device) && isFew(x, matrices[0]),
    dispatch: (call, _, device) => side(call.inputs[0], call.inputs.slice(2), call, device, normOf(call)),
  },
  linear_gated: {
    accepts: ([x, ...matrices], _, device) => isFloat(x) && alike(matrices, device) && isFew(x, matrices[0]),
    dispatch: (call, _, device) => gated(call.inputs[0], call.inputs.slice(1), call, device),
  },
  norm_linear_gated: {
    accepts: ([x, weight, ...matrices], _, device) => normable(x, weight) && alike(matrices, device) && isFew(x, matrices[0]),
    dispatch: (call, _, device) => gated(call.inputs[0], call.inputs.slice(2), call, device, normOf(call)),
  },
  expert_linear_gated: {
    accepts: ([x, gate, up, indices], _, device) => isFloat(x) && alike([gate, up], device) && fewChoices(indices),
    dispatch: ({ inputs: [x, gate, up, indices], outputs: [y] }, _, device) => fewExperts({ x, matrices: [gate, up], indices, y }, device),
  },
  norm_expert_linear_gated: {
    accepts: ([x, weight, gate, up, indices], _, device) => normable(x, weight) && x.shape.length === 2 && alike([gate, up], device) && fewChoices(indices),
    dispatch: (call, _, device) => fewExperts({ x: call.inputs[0], matrices: call.inputs.slice(2, 4), indices: call.inputs[4], y: call.outputs[0], norm: normOf(call) }, device),
  },
  expert_combine: {
    accepts: ([x, w, indices, weights, more], _, device) => isFloat(x, weights, more) && isSeen(w, device) && fewChoices(indices),
    dispatch: (call, _, device) => combined(call, device),
  },
};
