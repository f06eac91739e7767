// Kernels with a lane per element of the output: arithmetic, activations, and moving numbers about.

import { byteLength } from '../../../tensor/index.js';
import type { Attrs, Call, DType, Operand } from '../../../tensor/index.js';
import { count, float, LANES, typed } from '../kernel.js';
import type { Dispatch, Kernel } from '../kernel.js';

const none = (): number[] => [];

/** Counts of numbers as kernels with `number` see them: of vectors, where all are multiples of four. */
export function inFours(counts: readonly number[]): { FOURS: boolean; numbers: number[] } {
  const FOURS = counts.every((n) => n % 4 === 0);
  return { FOURS, numbers: counts.map((n) => (FOURS ? n / 4 : n)) };
}

/** The sum of each token's choices: x [T, k, columns] to out [T, columns]. */
export function sumChoices(x: Operand, out: Operand, choices: number): Dispatch {
  const { FOURS, numbers: [n, columns] } = inFours([count(out), out.spec.shape.at(-1) ?? 1]);
  return { source: 'sum_choices', parameters: { FOURS }, writes: [out], reads: [x], constants: [n, choices, columns], groups: Math.ceil(n / LANES), group: LANES };
}

/**
 * A kernel of one output that lanes take four numbers at a time of, where all counts are multiples of four: of its
 * elements, and what `counts` adds. `rest`: constants behind these.
 */
export function pointwise(source: string, types: readonly DType[], counts: (call: Call) => number[] = none, rest: (call: Call) => number[] = none, parameters = {}): Kernel {
  return {
    accepts: typed(types),
    dispatch(call: Call): Dispatch {
      const { FOURS, numbers } = inFours([count(call.outputs[0]), ...counts(call)]);
      return {
        source, parameters: { ...parameters, FOURS }, writes: call.outputs, reads: call.inputs, constants: [...numbers, ...rest(call)], groups: Math.ceil(numbers[0] / LANES), group: LANES,
      };
    },
  };
}

/** A kernel of one output, whose constants begin with its element count. */
function elementwise(source: string, types: readonly DType[], constants: (call: Call) => number[]): Kernel {
  return {
    accepts: typed(types),
    dispatch: (call: Call): Dispatch => {
      const n = count(call.outputs[0]);
      return { source, writes: call.outputs, reads: call.inputs, constants: [n, ...constants(call)], groups: Math.ceil(n / LANES), group: LANES };
    },
  };
}

const attribute = (attrs: Attrs, name: string): number => attrs[name] as number;
const lastAxis = (call: Call, input: number): number => call.inputs[input].spec.shape.at(-1) ?? 1;
const period = (call: Call): number[] => [count(call.inputs[1])];

const rope: Kernel = {
  accepts: typed(['f32', 'i32', 'f32']),
  dispatch(call) {
    const [tokens, heads, width] = call.inputs[0].spec.shape;
    const { layout, amplitude, inverse } = call.attrs as { layout: string; amplitude: number; inverse?: boolean };
    const frequencies = count(call.inputs[2]);
    const n = tokens * heads * (width - frequencies);
    return {
      source: 'rope', parameters: { INTERLEAVED: layout === 'interleaved' }, writes: call.outputs, reads: call.inputs,
      constants: [n, width, heads, frequencies, float(amplitude), float(inverse ? -1 : 1)], groups: Math.ceil(n / LANES), group: LANES,
    };
  },
};

// Writes the first words of its first input.
const copy: Kernel = {
  accepts: ([to, from]) => to.dtype === from.dtype && byteLength(from) % 4 === 0,
  dispatch({ inputs: [to, from] }) {
    const n = byteLength(from.spec) / 4;
    return { source: 'copy', writes: [to], reads: [from], constants: [n], groups: Math.ceil(n / LANES), group: LANES };
  },
};

export const elementwiseKernels: Readonly<Record<string, Kernel>> = {
  add: pointwise('add', ['f32', 'f32'], period),
  mul: pointwise('mul', ['f32', 'f32'], period),
  scale: pointwise('scale', ['f32'], none, ({ attrs }) => [float(attribute(attrs, 'factor'))]),
  silu: pointwise('silu', ['f32']),
  gelu_tanh: pointwise('gelu_tanh', ['f32']),
  sigmoid: pointwise('sigmoid', ['f32']),
  silu_mul: pointwise('silu_mul', ['f32', 'f32']),
  temperature: elementwise('temperature', ['f32', 'i32'], (call) => [
    count(call.outputs[0]) / count(call.inputs[1]), float(attribute(call.attrs, 'floorScale')), float(attribute(call.attrs, 'strength'))]),
  slice: pointwise('slice', ['f32'], (call) => [attribute(call.attrs, 'length'), lastAxis(call, 0), attribute(call.attrs, 'start')]),
  concat: pointwise('concat', ['f32', 'f32'], (call) => [lastAxis(call, 0), lastAxis(call, 1)]),
  gather: elementwise('gather', ['f32', 'i32'], (call) => [lastAxis(call, 1), lastAxis(call, 0)]),
  outer: elementwise('outer', ['f32', 'f32'], (call) => [lastAxis(call, 0), lastAxis(call, 1)]),
  combine: elementwise('combine', ['f32', 'f32'], (call) => [call.inputs[0].spec.shape[1], lastAxis(call, 0)]),
  rope,
  copy,
};
