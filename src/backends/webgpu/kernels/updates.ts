// What optimisers do: norms and clipping, updates of parameters where they lie, batches of products.

import type { AdamWAttrs, BatchedMatmulAttrs, Call, DType, DirectionAttrs, HeadClipAttrs, MomentumAttrs, Operand } from '../../../tensor/index.js';
import { count, float, LANES, typed } from '../kernel.js';
import type { Dispatch, Kernel } from '../kernel.js';
import { reduceAll, stridedProduct } from './strided.js';
import type { Side } from './strided.js';

const attrsOf = <A>({ attrs }: Call): A => attrs as unknown as A;

/** A kernel that writes its first `written` inputs, all of them float32, with a lane per number of the first. */
function inPlace(source: string, inputs: number, written: number, constants: (call: Call) => number[], { lanes = ({ inputs: [x] }: Call) => count(x), parameters = (_: Call): Dispatch['parameters'] => ({}) } = {}): Kernel {
  return {
    accepts: typed(Array<DType>(inputs).fill('f32')),
    dispatch(call) {
      const n = lanes(call);
      return {
        source, parameters: parameters(call), writes: call.inputs.slice(0, written), reads: call.inputs.slice(written), constants: [n, ...constants(call)],
        groups: Math.ceil(n / LANES), group: LANES,
      };
    },
  };
}

const sumSquares: Kernel = {
  accepts: typed(['f32', 'f32']),
  dispatch: (call) => reduceAll(call.inputs[1], call.inputs[0], { squares: true, first: attrsOf<{ at: number }>(call).at }),
};

const clipScale: Kernel = {
  accepts: typed(['f32', 'f32']),
  dispatch: (call) => ({
    source: 'clip_scale', writes: call.outputs, reads: call.inputs, constants: [count(call.inputs[0]), float(attrsOf<{ limit: number }>(call).limit)], groups: 1, group: LANES,
  }),
};

const adamw = inPlace('adamw', 6, 3, (call) => {
  const { beta1, beta2, epsilon, weightDecay } = attrsOf<AdamWAttrs>(call);
  return [beta1, 1 - beta1, beta2, 1 - beta2, epsilon, weightDecay].map(float);
});

const momentum = inPlace('momentum', 4, 2, (call) => {
  const attrs = attrsOf<MomentumAttrs>(call);
  return [attrs.at, float(attrs.momentum)];
}, { parameters: (call) => ({ NESTEROV: attrsOf<MomentumAttrs>(call).nesterov }) });

const stepAlong = inPlace('step_along', 4, 1, (call) => {
  const { at, size, weightDecay } = attrsOf<DirectionAttrs>(call);
  return [at, float(size), float(weightDecay)];
});

const widthOf = ({ inputs: [weight] }: Call): number => count(weight) / weight.spec.shape[0];

const clipHeads = inPlace('clip_heads', 3, 1, (call) => {
  const { heads, block, start, rows, base, groups, limit, power } = attrsOf<HeadClipAttrs>(call);
  return [widthOf(call), heads, block, start, rows, base, groups, count(call.inputs[1]), float(limit), float(power)];
}, { lanes: (call) => attrsOf<HeadClipAttrs>(call).heads * attrsOf<HeadClipAttrs>(call).rows * widthOf(call) });

const countIndices: Kernel = {
  accepts: typed(['i32']),
  dispatch({ inputs: [indices], outputs: [out] }) {
    return { source: 'count_indices', writes: [out], reads: [indices], constants: [count(out), count(indices)], groups: count(out), group: 256 };
  },
};

/** Counts lie in workgroup memory, of which 16 KiB are certain. */
const MOST_EXPERTS = 2048;

const sequenceLoads: Kernel = {
  accepts: (inputs, { experts }) => typed(['i32', 'i32'])(inputs) && (experts as number) <= MOST_EXPERTS,
  dispatch({ inputs, outputs, attrs }) {
    const [rows, choices] = inputs[0].spec.shape;
    return { source: 'sequence_loads', parameters: { EXPERTS: attrs.experts as number }, writes: outputs, reads: inputs, constants: [rows, choices], groups: rows, group: 256 };
  },
};

/** A [rows, depth], or B [depth, columns] seen from its columns. */
function side(operand: Operand, across: number, depth: number, deepFirst: boolean): Side {
  return { operand, across: deepFirst ? 1 : depth, depth: deepFirst ? across : 1, batch: across * depth };
}

const batchedMatmul: Kernel = {
  accepts: typed(['f32', 'f32', 'f32'], 2),
  dispatch(call) {
    const { transposeA, transposeB, alpha, beta } = attrsOf<BatchedMatmulAttrs>(call);
    const [[a, b, addend], [out]] = [call.inputs, call.outputs];
    const [batches, m, n] = out.spec.shape;
    const depth = a.spec.shape[transposeA ? 1 : 2];
    return stridedProduct({ m, n, depth, batches, a: side(a, m, depth, transposeA), b: side(b, n, depth, !transposeB), out: { operand: out }, alpha, addend, beta });
  },
};

/** A lane per number of the result. */
function byElement(source: string, inputs: number, constants: (call: Call) => number[]): Kernel {
  return {
    accepts: typed(Array<DType>(inputs).fill('f32')),
    dispatch(call) {
      const n = count(call.outputs[0]);
      return { source, writes: call.outputs, reads: call.inputs, constants: [n, ...constants(call)], groups: Math.ceil(n / LANES), group: LANES };
    },
  };
}

export const updateKernels: Readonly<Record<string, Kernel>> = {
  sum_squares: sumSquares, clip_scale: clipScale, adamw, momentum, step_along: stepAlong, clip_heads: clipHeads,
  move_bias: inPlace('move_bias', 3, 1, (call) => [float(attrsOf<{ rate: number }>(call).rate)]),
  count_indices: countIndices, sequence_loads: sequenceLoads, batched_matmul: batchedMatmul,
  maximum: byElement('maximum', 2, () => []), repeat_to: byElement('repeat_to', 1, ({ inputs: [x] }) => [count(x)]),
};
