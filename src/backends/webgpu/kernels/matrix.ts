// Kernels that read a weight matrix in its storage format.

import { elementCount } from '../../../tensor/index.js';
import type { Call, Operand } from '../../../tensor/index.js';
import { count, LANES, scratch } from '../kernel.js';
import type { Bound, Capabilities, Dispatch, Kernel } from '../kernel.js';
import { elementwiseKernels } from './elementwise.js';
import { fewExperts, fewTokenKernels, fewTokens, isFew } from './few_tokens.js';
import { gatedSums, product, together } from './product.js';
import { rowParts } from './row_parts.js';
import { stridedProduct } from './strided.js';
import { isWeight, weightConstants, weightParameters } from './weight.js';

/** Choices per expert from which it pays to bring those of the same expert together. */
const GROUPED_CHOICES = 4;

const linear: Kernel = {
  accepts: ([x, w, bias]) => x.dtype === 'f32' && isWeight(w) && (!bias || bias.dtype === 'f32'),
  dispatch({ inputs: [x, w, bias], outputs: [y] }, _fault, device) {
    return linearProduct({ x, w, bias, y }, device);
  },
};

/** Scratch memory that no product uses: of a matrix that is too large for one binding, and of two products whose results meet. */
const [PART_OF_RESULT, GATE, UP] = [7, 8, 9];

interface Linear { readonly x: Operand; readonly w: Bound; readonly bias?: Bound; readonly y: Operand }

/** `repeated`: the call's last product had the same x. */
function linearProduct({ x, w, bias, y }: Linear, device: Capabilities, repeated = false): Dispatch[] {
  const parts = rowParts(w, device);
  if (parts.length === 1) return linearPart({ x, w, bias, y }, device, repeated);
  const [columns, tokens] = [w.spec.shape[0], count(x) / w.spec.shape[1]];
  return parts.flatMap(({ first, rows, operand }, i): Dispatch[] => {
    const part = scratch(PART_OF_RESULT, { shape: [tokens, rows], dtype: 'f32' });
    const partOfBias = bias && { ...bias, spec: { ...bias.spec, shape: [rows] }, offset: 4 * first };
    return [...linearPart({ x, w: operand, bias: partOfBias, y: part }, device, repeated || i > 0), {
      source: 'place_columns', writes: [y], reads: [part], constants: [tokens * rows, rows, columns, first], groups: Math.ceil((tokens * rows) / LANES), group: LANES,
    }];
  });
}

function linearPart({ x, w, bias, y }: Linear, device: Capabilities, repeated: boolean): Dispatch[] {
  const [n, k] = w.spec.shape;
  if (isFew(x.spec, w.spec)) return fewTokens({ x, w, bias, y }, device);
  return product({ m: count(x) / k, n, k, a: x, b: w, bias, out: y }, device, { repeated });
}

/** A fused product that takes many tokens too, in dispatches that `dispatch` says. */
function alsoMany(few: Kernel, dispatch: (call: Call, device: Capabilities) => Dispatch[]): Kernel {
  return {
    accepts: (inputs, attrs, device) => few.accepts(inputs, attrs, device) || (!isFew(inputs[0], inputs[1]) && inputs[0].dtype === 'f32' && inputs.every(isWeight)),
    dispatch: (call, fault, device) => (isFew(call.inputs[0].spec, call.inputs[1].spec) ? few.dispatch(call, fault, device) : dispatch(call, device)),
  };
}

const siluMul = (gate: Operand, up: Operand, out: Operand, device: Capabilities): Dispatch[] =>
  [elementwiseKernels.silu_mul.dispatch({ op: 'silu_mul', inputs: [gate, up], outputs: [out], attrs: {}, path: '' }, 0, device)].flat();

const linearGroup = alsoMany(fewTokenKernels.linear_group, ({ inputs: [x, ...matrices], outputs }, device) =>
  together(matrices.map((w, i) => linearProduct({ x, w, y: outputs[i] }, device, i > 0)), outputs));

const linearGated = alsoMany(fewTokenKernels.linear_gated, ({ inputs: [x, gate, up], outputs: [out] }, device) => {
  const [gates, ups] = [GATE, UP].map((index) => scratch(index, out.spec));
  const products = [linearProduct({ x, w: gate, y: gates }, device), linearProduct({ x, w: up, y: ups }, device, true)];
  return gatedSums(products, out) ?? [...products.flat(), ...siluMul(gates, ups, out, device)];
});

const linearSiluMul = alsoMany(fewTokenKernels.linear_silu_mul, ({ inputs: [x, gate, up], outputs: [out] }, device) => {
  const gates = scratch(GATE, out.spec);
  return [...linearProduct({ x, w: gate, y: gates }, device), ...siluMul(gates, up, out, device)];
});

const expertLinear: Kernel = {
  accepts: ([x, w, indices]) => x.dtype === 'f32' && isWeight(w) && indices.dtype === 'i32',
  dispatch({ inputs, outputs }, _fault, device) {
    const [x, w, indices] = inputs;
    const [experts, rows, columns] = w.spec.shape;
    const choices = count(indices);
    const share = x.spec.shape.length === 2 ? indices.spec.shape[1] : 1;
    if (choices >= GROUPED_CHOICES * experts) {
      return product({ m: choices, n: rows, k: columns, a: x, b: w, out: outputs[0] }, device, { experts: { indices, count: experts, share } });
    }
    return fewExperts({ x, matrices: [w], indices, y: outputs[0] }, device);
  },
};

const matmul: Kernel = {
  accepts: ([a, b]) => a.dtype === 'f32' && isWeight(b),
  dispatch({ inputs: [a, b], outputs: [out], attrs }, _fault, device) {
    const { transposeA = false } = attrs as { transposeA?: boolean };
    const [m, n] = out.spec.shape;
    return product({ m, n, k: b.spec.shape[0], a, tallA: transposeA, b, tallB: true, out }, device);
  },
};

/** Tokens from which each head's rows are one product of matrices. */
const MANY_TOKENS = 32;
/** Lanes of a workgroup where fewer tokens read them eight numbers at a time. */
const HEAD_LANES = 256;

const headLinear: Kernel = {
  accepts: ([x, w]) => x.dtype === 'f32' && isWeight(w),
  dispatch({ inputs, outputs, attrs }, _fault, { subgroupLanes }) {
    const [x, w] = inputs;
    const { start, rows, transposed } = attrs as { start: number; rows: number; transposed: boolean };
    const [tokens, heads, depth] = x.spec.shape;
    const n = count(outputs[0]);
    if (tokens >= MANY_TOKENS && w.spec.dtype === 'f32') {
      const [block, columns] = [w.spec.shape[0] / heads, w.spec.shape[1]];
      const wide = transposed ? columns : rows;
      return stridedProduct({
        m: tokens, n: wide, depth, batches: heads, out: { operand: outputs[0], row: heads * wide, batch: wide },
        a: { operand: x, across: heads * depth, depth: 1, batch: depth },
        b: { operand: w, across: transposed ? 1 : columns, depth: transposed ? columns : 1, batch: block * columns, start: start * columns },
      });
    }
    const columns = w.spec.shape[1];
    const dispatch = { writes: outputs, reads: inputs };
    const constants = (results: number) => [...weightConstants(w.spec), results, heads, w.spec.shape[0] / heads, start, rows];
    const parameters = { ...weightParameters(w.spec), TRANSPOSED: transposed };
    if (columns % 8 !== 0) return { ...dispatch, source: 'head_linear', parameters, constants: constants(n), groups: Math.ceil(n / LANES), group: LANES };
    const eights = 2 ** Math.floor(Math.log2(columns / 8));
    if (transposed) {
      const COLUMN_LANES = Math.min(eights, HEAD_LANES / 4);
      return { ...dispatch, source: 'head_linear_eights', parameters: { ...parameters, COLUMN_LANES, UNROLL: 4 }, constants: constants(tokens * heads), groups: tokens * heads, group: HEAD_LANES };
    }
    const SHARED = Math.min(32, Math.max(8, eights));
    const SUBGROUP = subgroupLanes <= SHARED ? subgroupLanes : 1;
    return {
      ...dispatch, source: 'head_linear_eights', parameters: { ...parameters, LANES: SHARED, EACH: 1, TOKENS: 1, SUBGROUP, SUBGROUPS: SUBGROUP > 1 },
      constants: constants(n), groups: Math.ceil(n / (HEAD_LANES / SHARED)), group: HEAD_LANES,
    };
  },
};

const takeRows: Kernel = {
  accepts: ([table, indices]) => isWeight(table) && indices.dtype === 'i32',
  dispatch({ inputs: [table, indices], outputs }, fault, device) {
    const n = count(outputs[0]);
    const all = elementCount(table.spec.shape) / (table.spec.shape.at(-1) ?? 1);
    return rowParts(table, device).map(({ first, rows, operand }) => ({
      source: 'take_rows', parameters: weightParameters(operand.spec), writes: outputs, reads: [indices, operand],
      constants: [...weightConstants(operand.spec), n, all, fault, first, rows], groups: Math.ceil(n / LANES), group: LANES,
    }));
  },
  fault: (index) => `index ${index} is beyond the table's last row`,
};

export const matrixKernels: Readonly<Record<string, Kernel>> = {
  ...fewTokenKernels, linear, linear_group: linearGroup, linear_gated: linearGated, linear_silu_mul: linearSiluMul, matmul, expert_linear: expertLinear, head_linear: headLinear, take_rows: takeRows,
};
