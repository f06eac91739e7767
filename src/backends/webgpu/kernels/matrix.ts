// Kernels that read a weight matrix in its storage format.

import { elementCount } from '../../../tensor/index.js';
import type { Operand } from '../../../tensor/index.js';
import { count, LANES, scratch } from '../kernel.js';
import type { Bound, Capabilities, Dispatch, Kernel } from '../kernel.js';
import { fewExperts, fewTokenKernels, fewTokens, isFew } from './few_tokens.js';
import { product } from './product.js';
import { rowParts } from './row_parts.js';
import { stridedProduct } from './strided.js';
import { isWeight, weightConstants, weightParameters } from './weight.js';

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
  return isFew(x.spec, w.spec) ? [fewTokens({ x, w, bias, y }, device)] : product({ m: count(x) / k, n, k, a: x, b: w, bias, out: y }, device);
}

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
  ...fewTokenKernels, linear, matmul, expert_linear: expertLinear, head_linear: headLinear, take_rows: takeRows,
};
