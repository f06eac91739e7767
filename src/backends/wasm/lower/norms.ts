// rms_norm, add_rms_norm, layer_norm, softmax, normalize_sum: see kernels/norms.ts.

import { elementCount } from '../../../tensor/index.js';
import type { Spec } from '../../../tensor/index.js';
import { Kernel } from '../abi.js';
import { byBoth, byRows, float, lastAxis, whole, written } from '../task.js';
import type { Ref, Task, TaskOperand } from '../task.js';
import type { Lowering } from './lowering.js';

const allFloat = (inputs: readonly Spec[]) => inputs.every(({ dtype }) => dtype === 'f32');

interface NormAttrs { eps?: number; offset?: number; epsilon?: number }

/** A task over whole rows of x. */
function overRows(kernel: Kernel, x: Ref, operands: readonly TaskOperand[], { eps, epsilon, offset = 0 }: NormAttrs): Task {
  const n = lastAxis(x.spec);
  const rows = elementCount(x.spec.shape) / n;
  return { kernel, rows, columns: n, grain: n, work: rows * n * 2, operands, numbers: [n, 1, 1, float(eps ?? epsilon ?? 0), float(offset)] };
}

const rmsNorm: Lowering = {
  supports: allFloat,
  lower({ call, inputs: [x, w], outputs: [out] }) {
    const { eps, offset } = call.attrs as { eps: number; offset: number };
    const n = lastAxis(x.spec);
    // A row per head: threads may share heads.
    const parts = x.spec.shape.length === 3 ? x.spec.shape[1] : 1;
    const [rows, columns] = [elementCount(x.spec.shape) / (parts * n), parts * n];
    return [{
      kernel: Kernel.rms_norm, rows, columns, grain: n, widthAt: [2, n], work: rows * columns * 2,
      operands: [byBoth(x, rows, columns), whole(w), written(byBoth(out, rows, columns))],
      numbers: [n, parts, 0, float(eps), float(offset)],
    }];
  },
};

const rowwise = (kernel: Kernel): Lowering => ({
  supports: allFloat,
  lower: ({ call, inputs: [x], outputs: [out] }) => [overRows(kernel, x, [byRows(x), written(byRows(out))], call.attrs)],
});

export const norms = {
  rms_norm: rmsNorm,
  add_rms_norm: {
    supports: allFloat,
    lower: ({ call, inputs: [a, b, w], outputs: [sum, out] }) => [
      overRows(Kernel.add_rms_norm, a, [byRows(a), byRows(b), whole(w), written(byRows(sum)), written(byRows(out))], call.attrs),
    ],
  },
  layer_norm: {
    supports: allFloat,
    lower: ({ call, inputs: [x, w, b], outputs: [out] }) => [
      overRows(Kernel.layer_norm, x, [byRows(x), whole(w), whole(b), written(byRows(out))], call.attrs),
    ],
  },
  softmax: rowwise(Kernel.softmax),
  normalize_sum: rowwise(Kernel.normalize_sum),
} satisfies Record<string, Lowering>;
