// top_k, gather, outer, combine: see kernels/routing.ts.

import { Kernel } from '../abi.js';
import { byBoth, byRows, lastAxis, written } from '../task.js';
import type { Lowering } from './lowering.js';

interface TopKAttrs { k: number; groups?: number; groupsPicked?: number; groupScore?: 'sum2' | 'max' }

const topK: Lowering = {
  supports: ([x], attrs) => {
    const { k, groups = 1, groupsPicked = groups } = attrs as unknown as TopKAttrs;
    return x.dtype === 'f32' && k <= (lastAxis(x) / groups) * groupsPicked;
  },
  lower({ call, inputs: [x], outputs: [values, indices] }) {
    const { k, groups = 1, groupsPicked = groups, groupScore = 'sum2' } = call.attrs as unknown as TopKAttrs;
    const [rows, n] = x.spec.shape;
    return [{
      kernel: Kernel.top_k, rows, columns: n, grain: n, work: rows * n * (k + 4), scratch: n + 8 + groups * 8,
      operands: [byRows(x), written(byRows(values)), written(byRows(indices))],
      numbers: [n, k, groups, groupsPicked, Number(groupScore === 'sum2')],
    }];
  },
};

const gather: Lowering = {
  supports: ([x, indices]) => x.dtype === 'f32' && indices.dtype === 'i32' && indices.shape.length === 2,
  lower({ inputs: [x, indices], outputs: [out] }) {
    const [rows, k] = indices.spec.shape;
    return [{ kernel: Kernel.gather, rows, columns: k, grain: k, work: rows * k, operands: [byRows(x), byRows(indices), written(byRows(out))], numbers: [lastAxis(x.spec), k] }];
  },
};

const outer: Lowering = {
  supports: (inputs) => inputs.every(({ dtype }) => dtype === 'f32'),
  lower({ inputs: [w, x], outputs: [out] }) {
    const [T, k] = w.spec.shape;
    const n = lastAxis(x.spec);
    return [{ kernel: Kernel.outer, rows: T, columns: k * n, grain: k * n, work: T * k * n, operands: [byRows(w), byRows(x), written(byRows(out))], numbers: [k, n] }];
  },
};

const combine: Lowering = {
  supports: (inputs) => inputs.every(({ dtype }) => dtype === 'f32'),
  lower({ inputs: [y, w], outputs: [out] }) {
    const [T, k, n] = y.spec.shape;
    return [{
      kernel: Kernel.combine, rows: T, columns: n, grain: 1, width: 16, widthAt: [2, 1], work: T * k * n,
      operands: [byBoth(y, T * k, n), byRows(w), written(byBoth(out, T, n))], numbers: [k, n, 0],
    }];
  },
};

export const routing = { top_k: topK, gather, outer, combine };
