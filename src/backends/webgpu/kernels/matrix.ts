// Kernels that read a weight matrix in its storage format.

import { elementCount, isBlockType, scaleGrid, scaleOffset } from '../../../tensor/index.js';
import type { Spec } from '../../../tensor/index.js';
import { count, LANES } from '../kernel.js';
import type { Kernel } from '../kernel.js';

/** Of the block formats, shaders read q8_0 alone. */
const isWeight = ({ dtype }: Spec): boolean => dtype !== 'i32' && (!isBlockType(dtype) || dtype === 'q8_0');

/** Constants of a matrix: the WGSL struct Weight. */
function weightConstants(spec: Spec): number[] {
  const grid = scaleGrid(spec);
  const [blockRows, blockColumns] = spec.scaleBlock ?? [1, 1];
  return [spec.shape.at(-1) ?? 1, spec.shape.at(-2) ?? 1, grid ? scaleOffset(spec) / 4 : 0, blockRows, blockColumns, grid?.rows ?? 0, grid?.columns ?? 0, 0];
}

function weightParameters(spec: Spec) {
  const columns = spec.shape.at(-1) ?? 1;
  return { WEIGHT: spec.dtype, ALIGNED: columns % 4 === 0, EIGHTS: columns % 8 === 0 && EIGHTS.has(spec.dtype), SCALED: spec.scaleBlock !== undefined };
}

/** Formats that the shaders read eight numbers of at a time. */
const EIGHTS: ReadonlySet<string> = new Set(['f16', 'bf16', 'q8_0']);

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
const TILE = 32;

const linear: Kernel = {
  accepts: ([x, w, bias]) => x.dtype === 'f32' && isWeight(w) && (!bias || bias.dtype === 'f32'),
  dispatch({ inputs, outputs }) {
    const [x, w] = inputs;
    const [rows, columns] = w.spec.shape;
    const tokens = count(x) / columns;
    const shared = { writes: outputs, reads: inputs, constants: [...weightConstants(w.spec), tokens, rows] };
    const parameters = { ...weightParameters(w.spec), BIAS: inputs.length > 2, GATE: false };
    if (tokens > FEW_TOKENS) {
      return { ...shared, source: 'linear_tiled', parameters, group: LANES, groups: Math.ceil(tokens / TILE) * Math.ceil(rows / TILE) };
    }
    const lanes = lanesPerRow(rows, columns);
    const TOKENS = 2 ** Math.ceil(Math.log2(Math.max(tokens, 1)));
    return { ...shared, source: 'linear', parameters: { ...parameters, LANES: lanes, TOKENS }, group: PRODUCT_LANES, groups: Math.ceil(rows / (PRODUCT_LANES / lanes)) };
  },
};

/** For few tokens alone: where there are many, the two parts of it cost little beside the product. */
const linearSiluMul: Kernel = {
  accepts: ([x, w, up]) => x.dtype === 'f32' && isWeight(w) && up.dtype === 'f32' && elementCount(x.shape) / w.shape[1] <= FEW_TOKENS,
  dispatch(call) {
    const product = linear.dispatch({ ...call, inputs: call.inputs.slice(0, 2) }, 0);
    return { ...product, reads: call.inputs, parameters: { ...product.parameters, GATE: true } };
  },
};

const expertLinear: Kernel = {
  accepts: ([x, w, indices]) => x.dtype === 'f32' && isWeight(w) && indices.dtype === 'i32',
  dispatch({ inputs, outputs }) {
    const [x, w, indices] = inputs;
    const [, rows, columns] = w.spec.shape;
    const choices = count(indices);
    const lanes = lanesPerRow(choices * rows, columns);
    return {
      source: 'expert_linear', parameters: { ...weightParameters(w.spec), LANES: lanes, SHARED: x.spec.shape.length === 2 },
      writes: outputs, reads: inputs, constants: [...weightConstants(w.spec), choices, indices.spec.shape[1], rows],
      groups: choices * Math.ceil(rows / (PRODUCT_LANES / lanes)), group: PRODUCT_LANES,
    };
  },
};

const headLinear: Kernel = {
  accepts: ([x, w]) => x.dtype === 'f32' && isWeight(w),
  dispatch({ inputs, outputs, attrs }) {
    const [x, w] = inputs;
    const { start, rows, transposed } = attrs as { start: number; rows: number; transposed: boolean };
    const heads = x.spec.shape[1];
    const n = count(outputs[0]);
    return {
      source: 'head_linear', parameters: { ...weightParameters(w.spec), TRANSPOSED: transposed }, writes: outputs, reads: inputs,
      constants: [...weightConstants(w.spec), n, heads, w.spec.shape[0] / heads, start, rows], groups: Math.ceil(n / LANES), group: LANES,
    };
  },
};

const takeRows: Kernel = {
  accepts: ([table, indices]) => isWeight(table) && indices.dtype === 'i32',
  dispatch({ inputs: [table, indices], outputs }, fault) {
    const n = count(outputs[0]);
    const rows = elementCount(table.spec.shape) / (table.spec.shape.at(-1) ?? 1);
    return {
      source: 'take_rows', parameters: weightParameters(table.spec), writes: outputs, reads: [indices, table],
      constants: [...weightConstants(table.spec), n, rows, fault], groups: Math.ceil(n / LANES), group: LANES,
    };
  },
  fault: (index) => `index ${index} is beyond the table's last row`,
};

export const matrixKernels: Readonly<Record<string, Kernel>> = {
  linear, linear_silu_mul: linearSiluMul, expert_linear: expertLinear, head_linear: headLinear, take_rows: takeRows,
};
