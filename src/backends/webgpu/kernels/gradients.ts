// Gradients of the ops that models are made of, and the loss; attention's are in row_attention.ts.

import { elementCount } from '../../../tensor/index.js';
import type { Call, DType, Operand } from '../../../tensor/index.js';
import { count, float, LANES, rowsAndColumns, scratch, typed } from '../kernel.js';
import type { Dispatch, Kernel } from '../kernel.js';
import { inFours, pointwise, sumChoices } from './elementwise.js';
import { teamsFor } from './rows.js';
import { reduceAll, stridedProduct, sumRows } from './strided.js';

const number = (call: Call, name: string): number => call.attrs[name] as number;
const lastAxis = ({ spec }: Operand): number => spec.shape.at(-1) ?? 1;
/** Lanes for rows that are often short: heads, experts. */
const lanesFor = (columns: number): number => (columns > 256 ? 256 : columns > 32 ? LANES : 32);

/** A kernel with a lane per number of its result. */
function byElement(source: string, types: readonly DType[], constants: (call: Call) => number[]): Kernel {
  return {
    accepts: typed(types),
    dispatch(call) {
      const n = count(call.outputs[0]);
      return { source, writes: call.outputs, reads: call.inputs, constants: [n, ...constants(call)], groups: Math.ceil(n / LANES), group: LANES };
    },
  };
}

/** A kernel with a workgroup per row. */
function byRow(source: string, types: readonly DType[], constants: (call: Call, fault: number) => number[]): Kernel {
  return {
    accepts: typed(types),
    dispatch(call, fault) {
      const { rows, columns } = rowsAndColumns(call.inputs[0]);
      return {
        source, writes: call.outputs, reads: call.inputs, constants: [rows, columns, ...constants(call, fault)], groups: rows, group: lanesFor(columns),
      };
    },
  };
}

const none = (): number[] => [];
const activation = (SLOPE: number): Kernel => pointwise('activation_grad', ['f32', 'f32'], undefined, undefined, { SLOPE });
const normGrad = (CENTRED: boolean, required: number): Kernel => ({
  accepts: typed(['f32', 'f32', 'f32'], required),
  dispatch({ inputs, outputs, attrs }) {
    const { rows, columns } = rowsAndColumns(inputs[0]);
    const { eps, offset = 0 } = attrs as { eps: number; offset?: number };
    const { TEAM, group, groups } = teamsFor(rows, columns);
    return {
      source: 'norm_grad', parameters: { CENTRED, WEIGHT: inputs.length > 2, TEAM }, writes: outputs, reads: inputs,
      constants: [rows, columns, float(eps), float(offset)], groups, group,
    };
  },
});

const sumTo: Kernel = {
  accepts: typed(['f32']),
  dispatch({ inputs: [x], outputs: [out] }) {
    const columns = count(out);
    return sumRows(x, out, { rows: count(x) / columns, columns });
  },
};

/** Indices that a workgroup looks through at a time: CHUNK of matching.wgsl. */
const ROWS_CHUNK = 1024;

const addRows: Kernel = {
  accepts: typed(['f32', 'i32']),
  dispatch({ inputs: [x, indices], outputs: [out] }, fault) {
    const [rows, columns] = out.spec.shape;
    const group = columns > LANES ? 128 : LANES;
    return {
      source: 'add_rows', parameters: { CHUNK: ROWS_CHUNK }, writes: [out], reads: [x, indices], constants: [count(indices), columns, rows, fault],
      groups: rows * Math.ceil(columns / group), group,
    };
  },
  fault: (index) => `index ${index} is beyond the table's last row`,
};

const combineGrad: Kernel = {
  accepts: typed(['f32', 'f32', 'f32']),
  dispatch({ inputs, outputs }) {
    const [, k, width] = inputs[0].spec.shape;
    const choices = count(inputs[1]);
    return { source: 'combine_grad', writes: outputs, reads: inputs, constants: [choices, k, width], groups: choices, group: lanesFor(width) };
  },
};

/** Choices that a workgroup looks through for its expert. */
const CHOICES = 512;
const EXPERT_GROUP = 256;

const expertGradInput: Kernel = {
  accepts: typed(['f32', 'f32', 'i32']),
  dispatch({ inputs: [dy, w, indices], outputs: [dx], attrs }) {
    const [experts, outputs, columns] = w.spec.shape;
    const choices = count(indices);
    const k = lastAxis(indices);
    const summed = attrs.shared === true && k > 1;
    const each = summed ? scratch(0, { shape: [choices, columns], dtype: 'f32' }) : dx;
    const product: Dispatch = {
      source: 'expert_product', parameters: { CHUNK: CHOICES, W_ACROSS: true }, writes: [each], reads: [dy, w, indices],
      constants: [choices, experts, columns, outputs, 1, outputs * columns, 1, columns],
      groups: Math.ceil(choices / CHOICES) * experts * Math.ceil(columns / 64), group: EXPERT_GROUP,
    };
    if (!summed) return product;
    return [product, sumChoices(each, dx, k)];
  },
};

const expertGradWeight: Kernel = {
  accepts: typed(['f32', 'f32', 'i32']),
  dispatch({ inputs: [x, dy, indices], outputs: [dw] }) {
    const [experts, m, n] = dw.spec.shape;
    const choices = count(indices);
    const chunks = Math.ceil(choices / CHOICES);
    const partial = chunks > 1 ? scratch(0, { shape: [chunks, ...dw.spec.shape], dtype: 'f32' }) : dw;
    const product: Dispatch = {
      source: 'expert_product_weight', parameters: { CHUNK: CHOICES }, writes: [partial], reads: [dy, x, indices],
      constants: [choices, experts, m, n, x.spec.shape.length === 2 ? lastAxis(indices) : 1],
      groups: chunks * experts * Math.ceil(m / 64) * Math.ceil(n / 64), group: EXPERT_GROUP,
    };
    return chunks > 1 ? [product, ...sumRows(partial, dw, { rows: chunks, columns: elementCount(dw.spec.shape), index: 1 })] : product;
  },
};

// Rows of a head's block that the call did not use have no gradient.
const headGrad: Kernel = {
  accepts: typed(['f32', 'f32']),
  dispatch({ inputs: [wide, narrow], outputs: [dw], attrs }) {
    const [tokens, heads, columns] = wide.spec.shape;
    const rows = lastAxis(narrow);
    const { start, block } = attrs as { start: number; block: number };
    const used = scratch(0, { shape: [heads, rows, columns], dtype: 'f32' });
    const { FOURS, numbers } = inFours([count(dw), rows * columns, block * columns, start * columns]);
    return [
      ...stridedProduct({
        m: rows, n: columns, depth: tokens, batches: heads, out: { operand: used }, index: 1,
        a: { operand: narrow, across: 1, depth: heads * rows, batch: rows }, b: { operand: wide, across: 1, depth: heads * columns, batch: columns },
      }),
      { source: 'pad', parameters: { FOURS }, writes: [dw], reads: [used], constants: numbers, groups: Math.ceil(numbers[0] / LANES), group: LANES },
    ];
  },
};

const beyondVocabulary = (index: number): string => `target ${index} is not in the vocabulary`;

const crossEntropy: Kernel = {
  accepts: typed(['f32', 'i32']),
  dispatch({ inputs, outputs: [loss] }, fault) {
    const [rows, columns] = inputs[0].spec.shape;
    const losses = scratch(0, { shape: [rows], dtype: 'f32' });
    return [
      { source: 'row_loss', writes: [losses], reads: inputs, constants: [rows, columns, fault], groups: rows, group: lanesFor(columns) },
      ...reduceAll(losses, loss, { factor: 1 / rows, index: 1 }),
    ];
  },
  fault: beyondVocabulary,
};

export const gradientKernels: Readonly<Record<string, Kernel>> = {
  sigmoid_grad: activation(0), silu_grad: activation(1), gelu_tanh_grad: activation(2),
  rms_norm_grad: normGrad(false, 2), layer_norm_grad: normGrad(true, 3),
  softmax_grad: byRow('softmax_grad', ['f32', 'f32'], none),
  normalize_sum_grad: byRow('normalize_sum_grad', ['f32', 'f32'], (call) => [float(number(call, 'epsilon'))]),
  sum_to: sumTo, add_rows: addRows, combine_grad: combineGrad,
  scatter: byElement('scatter', ['f32', 'i32'], ({ inputs: [x], outputs: [out] }) => [lastAxis(out), lastAxis(x)]),
  pad: pointwise('pad', ['f32'], (call) => [lastAxis(call.inputs[0]), lastAxis(call.outputs[0]), number(call, 'start')]),
  expert_linear_grad_input: expertGradInput, expert_linear_grad_weight: expertGradWeight, head_linear_grad: headGrad,
  cross_entropy: crossEntropy,
  cross_entropy_grad: { ...byRow('row_loss_grad', ['f32', 'i32', 'f32'], (_, fault) => [fault]), fault: beyondVocabulary },
};
