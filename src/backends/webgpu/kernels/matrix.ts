// Kernels that read a weight matrix in its storage format.

import { elementCount } from '../../../tensor/index.js';
import type { Operand, Spec } from '../../../tensor/index.js';
import { count, LANES, scratch } from '../kernel.js';
import type { Bound, Capabilities, Dispatch, Kernel } from '../kernel.js';
import { product } from './product.js';
import { rowParts } from './row_parts.js';
import { stridedProduct } from './strided.js';
import { isWeight, weightConstants, weightParameters } from './weight.js';

/** Lanes of a product of a matrix and few rows. */
const PRODUCT_LANES = 128;
/** So many lanes keep a large GPU's memory busy. */
const BUSY_LANES = 2 ** 17;

/** Lanes that share a row, eight numbers each at a time: more where rows are few, so that all of the GPU reads. */
function lanesPerRow(rows: number, columns: number): number {
  let lanes = 8;
  while (lanes < PRODUCT_LANES && 16 * lanes <= columns && (lanes < 32 || rows * lanes < BUSY_LANES)) lanes *= 2;
  return lanes;
}

const FEW_TOKENS = 8;
/** Choices per expert from which it pays to bring those of the same expert together. */
const GROUPED_CHOICES = 4;

const linear: Kernel = {
  accepts: ([x, w, bias]) => x.dtype === 'f32' && isWeight(w) && (!bias || bias.dtype === 'f32'),
  dispatch({ inputs: [x, w, bias], outputs: [y] }, _fault, device) {
    const parts = rowParts(w, device);
    if (parts.length === 1) return linearProduct({ x, w, bias, y }, device);
    const [columns, tokens] = [w.spec.shape[0], count(x) / w.spec.shape[1]];
    return parts.flatMap(({ first, rows, operand }): Dispatch[] => {
      const part = scratch(PART_OF_RESULT, { shape: [tokens, rows], dtype: 'f32' });
      const partOfBias = bias && { ...bias, spec: { ...bias.spec, shape: [rows] }, offset: 4 * first };
      return [...linearProduct({ x, w: operand, bias: partOfBias, y: part }, device), {
        source: 'place_columns', writes: [y], reads: [part], constants: [tokens * rows, rows, columns, first], groups: Math.ceil((tokens * rows) / LANES), group: LANES,
      }];
    });
  },
};

/** Scratch memory that no product uses. */
const PART_OF_RESULT = 5;

interface Linear { readonly x: Operand; readonly w: Bound; readonly bias?: Bound; readonly y: Operand }

function linearProduct({ x, w, bias, y }: Linear, device: Capabilities): Dispatch[] {
  const [n, k] = w.spec.shape;
  const m = count(x) / k;
  return m > FEW_TOKENS ? product({ m, n, k, a: x, b: w, bias, out: y }, device) : [fewTokens({ x, w, bias, y }, device)];
}

/** Of products of few tokens: how matrices with the columns of `w` are dealt to lanes. `rows`: of all of them. */
function teams(x: Operand, w: Operand, rows: number, { subgroupLanes }: Capabilities) {
  const columns = w.spec.shape[1];
  const tokens = count(x) / columns;
  const LANES = lanesPerRow(rows, columns);
  // Two rows share what is read of x, where enough of the GPU stays at work.
  const EACH = rows * LANES >= BUSY_LANES ? 2 : 1;
  // A team must be whole subgroups.
  const SUBGROUP = subgroupLanes <= LANES ? subgroupLanes : 1;
  const parameters = { ...weightParameters(w.spec), LANES, EACH, UNROLL: 2, TOKENS: 2 ** Math.ceil(Math.log2(Math.max(tokens, 1))), SUBGROUP, SUBGROUPS: SUBGROUP > 1 };
  return { parameters, tokens, rowsPerGroup: (PRODUCT_LANES / LANES) * EACH };
}

function fewTokens({ x, w, bias, y }: Linear, device: Capabilities): Dispatch {
  const [rows] = w.spec.shape;
  const { parameters, tokens, rowsPerGroup } = teams(x, w, rows, device);
  return {
    source: 'linear', writes: [y], reads: bias ? [x, w, bias] : [x, w], constants: [...weightConstants(w.spec), tokens, rows],
    parameters: { ...parameters, BIAS: bias !== undefined, GATE: false }, group: PRODUCT_LANES, groups: Math.ceil(rows / rowsPerGroup),
  };
}

const isFew = (x: Spec, w: Spec): boolean => elementCount(x.shape) / w.shape[1] <= FEW_TOKENS;
/** Matrices that one kernel reads: the same reader and the same rows of x for all. */
const alike = (matrices: readonly Spec[]): boolean => matrices.every((w) => isWeight(w) && !w.scaleBlock && w.dtype === matrices[0].dtype && w.shape[1] === matrices[0].shape[1]);

const linearGroup: Kernel = {
  accepts: ([x, ...matrices]) => x.dtype === 'f32' && matrices.length === 3 && alike(matrices) && isFew(x, matrices[0]),
  dispatch({ inputs: [x, ...matrices], outputs: [first, ...others] }, _, device) {
    const rows = matrices.map((w) => w.spec.shape[0]);
    const { parameters, tokens, rowsPerGroup } = teams(x, matrices[0], rows.reduce((a, b) => a + b), device);
    return {
      source: 'linear_group', parameters: { ...parameters, COPIES: 3 }, writes: [first], reads: [x, ...matrices], alsoWrites: others,
      constants: [...weightConstants(matrices[0].spec), tokens, 0, 0, 0, ...rows], group: PRODUCT_LANES, groups: rows.reduce((sum, n) => sum + Math.ceil(n / rowsPerGroup), 0),
    };
  },
};

const linearGated: Kernel = {
  accepts: ([x, ...matrices]) => x.dtype === 'f32' && alike(matrices) && isFew(x, matrices[0]),
  dispatch({ inputs, outputs }, _, device) {
    const [x, w] = inputs;
    const [rows] = w.spec.shape;
    const { parameters, tokens, rowsPerGroup } = teams(x, w, 2 * rows, device);
    return {
      source: 'linear_gated', parameters: { ...parameters, COPIES: 2 }, writes: outputs, reads: inputs, constants: [...weightConstants(w.spec), tokens, rows],
      group: PRODUCT_LANES, groups: Math.ceil(rows / rowsPerGroup),
    };
  },
};

/** For few tokens alone: where there are many, the two parts of it cost little beside the product. */
const linearSiluMul: Kernel = {
  accepts: ([x, w, up]) => x.dtype === 'f32' && isWeight(w) && up.dtype === 'f32' && isFew(x, w),
  dispatch(call, _, device) {
    const [x, w] = call.inputs;
    const product = fewTokens({ x, w, y: call.outputs[0] }, device);
    return { ...product, reads: call.inputs, parameters: { ...product.parameters, GATE: true } };
  },
};

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
    const lanes = lanesPerRow(choices * rows, columns);
    return {
      source: 'expert_linear', parameters: { ...weightParameters(w.spec), LANES: lanes, SHARED: x.spec.shape.length === 2 },
      writes: outputs, reads: inputs, constants: [...weightConstants(w.spec), choices, indices.spec.shape[1], rows],
      groups: choices * Math.ceil(rows / (PRODUCT_LANES / lanes)), group: PRODUCT_LANES,
    };
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

const headLinear: Kernel = {
  accepts: ([x, w]) => x.dtype === 'f32' && isWeight(w),
  dispatch({ inputs, outputs, attrs }) {
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
    return {
      source: 'head_linear', parameters: { ...weightParameters(w.spec), TRANSPOSED: transposed }, writes: outputs, reads: inputs,
      constants: [...weightConstants(w.spec), n, heads, w.spec.shape[0] / heads, start, rows], groups: Math.ceil(n / LANES), group: LANES,
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
  linear, linear_silu_mul: linearSiluMul, linear_group: linearGroup, linear_gated: linearGated, matmul, expert_linear: expertLinear, head_linear: headLinear, take_rows: takeRows,
};
