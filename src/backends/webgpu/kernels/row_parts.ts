// Matrices that are too large for a kernel to see whole, taken in parts of whole rows.

import { byteLength } from '../../../tensor/index.js';
import type { Operand } from '../../../tensor/index.js';
import type { Bound, Capabilities } from '../kernel.js';

/** Rows [first, first + rows) of a matrix. */
export interface RowPart { readonly first: number; readonly rows: number; readonly operand: Bound }

/** Bindings begin at multiples of this many bytes, so parts begin at multiples of as many rows. */
const ALIGNMENT = 256;

/** The fewest equal parts of [rows, columns] that a kernel can see; the whole where it can, or where scales follow the rows. */
export function rowParts(matrix: Operand, { bindingBytes }: Capabilities): RowPart[] {
  const { spec } = matrix;
  const [rows, columns] = spec.shape;
  const bytes = byteLength(spec);
  if (bytes <= bindingBytes || spec.scaleBlock || spec.shape.length !== 2) return [{ first: 0, rows, operand: matrix }];
  const bytesOfRow = bytes / rows;
  const most = Math.max(1, Math.floor(bindingBytes / (bytesOfRow * ALIGNMENT))) * ALIGNMENT;
  return Array.from({ length: Math.ceil(rows / most) }, (_, i) => {
    const first = i * most;
    const part = Math.min(most, rows - first);
    return { first, rows: part, operand: { buffer: matrix.buffer, spec: { ...spec, shape: [part, columns] }, offset: first * bytesOfRow } };
  });
}
