// take_rows, slice, concat, copy: see kernels/rows.ts.

import { byteLength, elementCount } from '../../../tensor/index.js';
import { Kernel } from '../abi.js';
import { byColumns, byRows, halves, lastAxis, whole, written } from '../task.js';
import type { Ref, Task } from '../task.js';
import type { Lowering } from './lowering.js';
import { formatOf, stored } from './matrices.js';

const takeRows: Lowering = {
  matrix: { input: 0, as: 'readable' },
  supports: ([table, indices]) => stored(table) && indices.dtype === 'i32',
  lower({ inputs: [table, indices], outputs: [out] }) {
    const [rows, n] = table.spec.shape;
    const [T] = indices.spec.shape;
    const { format, scales } = formatOf(table);
    return [{
      kernel: Kernel.take_rows, rows: T, columns: n, grain: n, work: T * n,
      operands: [whole(table), byRows(indices), written(byRows(out))],
      numbers: [n, rows, format, ...scales],
    }];
  },
};

const slice: Lowering = {
  supports: ([x]) => x.dtype === 'f32',
  lower({ call, inputs: [x], outputs: [out] }) {
    const { start, length } = call.attrs as { start: number; length: number };
    const n = lastAxis(x.spec);
    const rows = elementCount(x.spec.shape) / n;
    return [{ kernel: Kernel.slice, rows, columns: n, grain: n, work: rows * length, operands: [byRows(x), written(byRows(out))], numbers: [n, start, length] }];
  },
};

const concat: Lowering = {
  supports: ([a, b]) => a.dtype === 'f32' && b.dtype === 'f32',
  lower({ inputs: [a, b], outputs: [out] }) {
    const [n, m] = [lastAxis(a.spec), lastAxis(b.spec)];
    const rows = elementCount(a.spec.shape) / n;
    return [{ kernel: Kernel.concat, rows, columns: n + m, grain: n + m, work: rows * (n + m), operands: [byRows(a), byRows(b), written(byRows(out))], numbers: [n, m] }];
  },
};

const COPY_UNIT = 65536;

/** `bytes` bytes from the beginning of one buffer to `offset` of another. */
export function copyTask(from: Ref, to: Ref, bytes: number): Task {
  return {
    kernel: Kernel.copy, rows: 1, columns: bytes, grain: 1, width: COPY_UNIT, widthAt: [2, 1], work: bytes,
    operands: [byColumns(from, 1, bytes), written(byColumns(to, 1, bytes))], numbers: [...halves(bytes), 0],
  };
}

export const rows = {
  take_rows: takeRows,
  slice,
  concat,
  copy: {
    supports: ([to, from]) => to.dtype === from.dtype,
    lower: ({ inputs: [to, from] }) => [copyTask(from, to, byteLength(from.spec))],
  },
} satisfies Record<string, Lowering>;
