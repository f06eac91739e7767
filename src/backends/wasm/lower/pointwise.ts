// add, mul, silu_mul, scale and activations: see kernels/pointwise.ts.

import { elementCount } from '../../../tensor/index.js';
import type { Spec } from '../../../tensor/index.js';
import { Kernel } from '../abi.js';
import { byBoth, byColumns, float, lastAxis, written } from '../task.js';
import type { SlotCall, Task } from '../task.js';
import type { Lowering } from './lowering.js';

const WIDTH = 16;
const allFloat = (inputs: readonly Spec[]) => inputs.every(({ dtype }) => dtype === 'f32');

function binary(kernel: Kernel): Lowering {
  return {
    supports: allFloat,
    lower({ inputs: [a, b], outputs: [out] }: SlotCall): Task[] {
      const size = elementCount(a.spec.shape);
      const same = elementCount(b.spec.shape) === size;
      const columns = same ? lastAxis(a.spec) : elementCount(b.spec.shape);
      const rows = size / columns;
      const second = same ? byBoth(b, rows, columns) : byColumns(b, 1, columns);
      return [{
        kernel, rows, columns, grain: 1, width: WIDTH, widthAt: [1, 1], work: size,
        operands: [byBoth(a, rows, columns), second, written(byBoth(out, rows, columns))],
        numbers: [columns, 0, same ? columns : 0],
      }];
    },
  };
}

function unary(kernel: Kernel, factor: (attrs: { factor?: number }) => number = () => 0, work = 1): Lowering {
  return {
    supports: allFloat,
    lower({ call, inputs: [a], outputs: [out] }: SlotCall): Task[] {
      const columns = lastAxis(a.spec);
      const rows = elementCount(a.spec.shape) / columns;
      return [{
        kernel, rows, columns, grain: 1, width: WIDTH, widthAt: [1, 1], work: rows * columns * work,
        operands: [byBoth(a, rows, columns), written(byBoth(out, rows, columns))],
        numbers: [columns, 0, float(factor(call.attrs))],
      }];
    },
  };
}

export const pointwise = {
  add: binary(Kernel.add),
  mul: binary(Kernel.mul),
  silu_mul: binary(Kernel.silu_mul),
  scale: unary(Kernel.scale, ({ factor = 1 }) => factor),
  silu: unary(Kernel.silu, undefined, 4),
  gelu_tanh: unary(Kernel.gelu_tanh, undefined, 4),
  sigmoid: unary(Kernel.sigmoid, undefined, 4),
};
