// Products of a matrix and few tokens, which wait for the matrix to be read: decoding. Block formats that
// integers can be multiplied with as they lie are (see prepare_integer.wgsl), others are unpacked.

import { byteLength, elementCount } from '../../../tensor/index.js';
import type { Call, Operand, Spec } from '../../../tensor/index.js';
import { count, float } from '../kernel.js';
import type { Bound, Capabilities, Dispatch, Kernel } from '../kernel.js';
import { isPacked } from '../packing.js';
import { isWeight, weightConstants, weightParameters } from './weight.js';

/** Tokens up to which it pays to read the matrix once for all of them, each lane adding up by itself. */
const FEW_TOKENS = 8;
/** Lanes of a workgroup. */
const PRODUCT_LANES = 128;
/** From so many rows on there is work for all of a large GPU with two rows a team. */
const MANY_ROWS = 4096;
/** Bytes of workgroup memory beside the quantised rows of x. */
const OTHER_BYTES = 4096;

/** Whether x, [..., columns], has few rows. */
export const isFew = (x: Spec, w: Spec): boolean => elementCount(x.shape) / w.shape[1] <= FEW_TOKENS;
/** Whether a kernel sees a matrix whole; only plain products take it in parts. */
const isSeen = (w: Spec, { bindingBytes }: Capabilities): boolean => isWeight(w) && byteLength(w) <= bindingBytes;
/** Whether one kernel reads all matrices: the same reader and the same rows of x. */
const alike = (matrices: readonly Spec[], device: Capabilities): boolean =>
  matrices.every((w) => isSeen(w, device) && !w.scaleBlock && w.dtype === matrices[0].dtype && w.shape.at(-1) === matrices[0].shape.at(-1));

interface Shape {
  /** Rows of x that a workgroup multiplies a matrix with at once. */
  readonly tokens: number;
  /** Rows of x that it sees. */
  readonly xRows: number;
  /** Rows of all matrices, over all workgroups. */
  readonly rows: number;
}

/** How matrices like `w` are dealt to lanes: what was fastest on an H100 (docs/log.md). */
function teams(w: Spec, { tokens, xRows, rows }: Shape, { subgroupLanes, workgroupBytes, integerProducts }: Capabilities) {
  const columns = w.shape.at(-1)!;
  const integer = integerProducts && isPacked(w) && xRows * (columns + columns / 8) + OTHER_BYTES <= workgroupBytes;
  // Two rows share what is read of x.
  const [EACH, UNROLL] = rows >= MANY_ROWS ? [2, 2] : [1, 4];
  // In integers a workgroup is larger, for it quantises x before all else.
  const group = integer && rows >= MANY_ROWS ? 2 * PRODUCT_LANES : PRODUCT_LANES;
  const LANES = integer ? 32 : Math.min(PRODUCT_LANES, Math.max(8, 2 ** Math.floor(Math.log2(columns / 8))));
  // A team must be whole subgroups.
  const SUBGROUP = subgroupLanes <= LANES ? subgroupLanes : 1;
  const parameters = {
    ...weightParameters(w), PRODUCTS: integer ? 'integer' : 'float', COLUMNS: columns, HALVES_APART: w.dtype === 'q4_0', LANES, EACH, UNROLL,
    TOKENS: 2 ** Math.ceil(Math.log2(Math.max(tokens, 1))), X_ROWS: xRows, SUBGROUP, SUBGROUPS: SUBGROUP > 1, NORM: false, NORM_AT: 0,
  };
  return { parameters, rowsPerGroup: (group / LANES) * EACH, group };
}

const rowsOf = (x: Operand, w: Operand): number => count(x) / w.spec.shape.at(-1)!;
const tokensOf = (x: Operand, w: Operand) => ({ tokens: rowsOf(x, w), xRows: 2 ** Math.ceil(Math.log2(Math.max(rowsOf(x, w), 1))) });

/** The weight of a norm that goes before the product, and its constants. */
interface Norm { readonly weight: Operand; readonly eps: number; readonly offset: number }

const normConstants = (norm: Norm | undefined): number[] => [float(norm?.eps ?? 0), float(norm?.offset ?? 0)];
/** Of a dispatch whose reads end at the binding before: the norm's weight is bound behind them. */
const withNorm = (reads: readonly Bound[], norm: Norm | undefined) => ({
  reads: norm ? [...reads, norm.weight] : reads, parameters: { NORM: norm !== undefined, NORM_AT: reads.length + 2 },
});

interface Linear { readonly x: Operand; readonly w: Bound; readonly y: Operand; readonly bias?: Bound; readonly gate?: Operand; readonly add?: Operand; readonly norm?: Norm }

/** y = x W^T, and what may come before and behind it. */
export function fewTokens({ x, w, y, bias, gate, add, norm }: Linear, device: Capabilities): Dispatch {
  const [rows] = w.spec.shape;
  const { parameters, rowsPerGroup, group } = teams(w.spec, { ...tokensOf(x, w), rows }, device);
  const normed = withNorm([x, w, bias, gate, add].filter((operand) => operand !== undefined), norm);
  return {
    source: 'linear', writes: [y], reads: normed.reads, constants: [...weightConstants(w.spec), rowsOf(x, w), rows, ...normConstants(norm)],
    parameters: { ...parameters, ...normed.parameters, BIAS: bias !== undefined, GATE: gate !== undefined, ADD: add !== undefined, OTHER: (gate ?? add) !== undefined },
    group, groups: Math.ceil(rows / rowsPerGroup),
  };
}

function group(x: Operand, matrices: readonly Operand[], { outputs: [first, ...others] }: Call, device: Capabilities, norm?: Norm): Dispatch {
  const rows = matrices.map((w) => w.spec.shape[0]);
  const all = rows.reduce((a, b) => a + b);
  const { parameters, rowsPerGroup, group: lanes } = teams(matrices[0].spec, { ...tokensOf(x, matrices[0]), rows: all }, device);
  const normed = withNorm([x, ...matrices], norm);
  return {
    source: 'linear_group', parameters: { ...parameters, ...normed.parameters, COPIES: 3, OTHERS_AT: normed.reads.length + 2 }, writes: [first], reads: normed.reads, alsoWrites: others,
    constants: [...weightConstants(matrices[0].spec), rowsOf(x, matrices[0]), ...normConstants(norm), 0, ...rows], group: lanes, groups: rows.reduce((sum, n) => sum + Math.ceil(n / rowsPerGroup), 0),
  };
}

function gated(x: Operand, matrices: readonly Operand[], { outputs }: Call, device: Capabilities, norm?: Norm): Dispatch {
  const [w] = matrices;
  const [rows] = w.spec.shape;
  const { parameters, rowsPerGroup, group: lanes } = teams(w.spec, { ...tokensOf(x, w), rows: 2 * rows }, device);
  const normed = withNorm([x, ...matrices], norm);
  return {
    source: 'linear_gated', parameters: { ...parameters, ...normed.parameters, COPIES: 2 }, writes: outputs, reads: normed.reads,
    constants: [...weightConstants(w.spec), rowsOf(x, w), rows, ...normConstants(norm)], group: lanes, groups: Math.ceil(rows / rowsPerGroup),
  };
}

interface Experts { readonly x: Operand; readonly matrices: readonly Operand[]; readonly indices: Operand; readonly y: Operand; readonly norm?: Norm }

/** Each choice through its expert's matrix, or through the gate and the other of two. */
export function fewExperts({ x, matrices, indices, y, norm }: Experts, device: Capabilities): Dispatch {
  const [w] = matrices;
  const [choices, rows] = [count(indices), w.spec.shape[1]];
  const { parameters, rowsPerGroup, group: lanes } = teams(w.spec, { tokens: 1, xRows: 1, rows: choices * rows * matrices.length }, device);
  const normed = withNorm([x, ...matrices, indices], norm);
  return {
    source: 'expert_linear', writes: [y], reads: normed.reads,
    parameters: { ...parameters, ...normed.parameters, COPIES: matrices.length, GATED: matrices.length === 2, INDICES_AT: 3 + matrices.length, SHARED: x.spec.shape.length === 2 },
    constants: [...weightConstants(w.spec), 1, rows, ...normConstants(norm), choices, indices.spec.shape[1]], group: lanes, groups: choices * Math.ceil(rows / rowsPerGroup),
  };
}

function combined({ inputs, outputs }: Call, device: Capabilities): Dispatch {
  const [, w, indices, , add] = inputs;
  const [[tokens, choices], rows] = [indices.spec.shape, w.spec.shape[1]];
  const { parameters, rowsPerGroup, group: lanes } = teams(w.spec, { tokens: 1, xRows: choices, rows: tokens * rows }, device);
  return {
    source: 'expert_combine', writes: outputs, reads: inputs, parameters: { ...parameters, ADD: add !== undefined },
    constants: [...weightConstants(w.spec), 1, rows, tokens], group: lanes, groups: tokens * Math.ceil(rows / rowsPerGroup),
  };
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
    dispatch: (call, _, device) => group(call.inputs[0], call.inputs.slice(1), call, device),
  },
  norm_linear_group: {
    accepts: ([x, weight, ...matrices], _, device) => normable(x, weight) && matrices.length === 3 && alike(matrices, device) && isFew(x, matrices[0]),
    dispatch: (call, _, device) => group(call.inputs[0], call.inputs.slice(2), call, device, normOf(call)),
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
