// Moving rows: copy, take_rows, slice, concat; and head_linear, which decodes its matrix row by row.

import { Failure } from '../abi';
import { decodeRow, setScales } from './formats';
import { accumulate, dot } from './math';
import { fail, int, pointer, rowHi, rowLo, scratch, size, unitHi, unitLo } from './record';

/** Pieces of a block of bytes. Numbers: bytes (two), bytes of a unit. */
export function copy(): void {
  const lo = <usize>unitLo * int(2), hi = min(<usize>unitHi * int(2), size(0));
  if (lo < hi) memory.copy(pointer(1) + lo, pointer(0) + lo, hi - lo);
}

/** Rows of a table by index; a negative one gives zeros. Numbers: columns, rows of the table, format, scale offset (two), block rows, block columns. */
export function takeRows(): void {
  const table = pointer(0), indices = pointer(1), out = pointer(2), n = int(0);
  setScales(size(3), int(5), int(6), int(1));
  for (let t = rowLo; t < rowHi; t++) {
    const index = load<i32>(indices + (<usize>t << 2)), to = out + (<usize>t * n << 2);
    const bad = index >= int(1);
    if (bad) fail(Failure.index, index, int(1));
    if (bad || index < 0) memory.fill(to, 0, <usize>n << 2);
    else decodeRow(int(2), table, index, n, to);
  }
}

/** Columns [start, start + length) of rows. Numbers: columns of a row, start, length. */
export function slice(): void {
  const from = pointer(0), out = pointer(1), n = int(0), length = int(2);
  for (let r = rowLo; r < rowHi; r++) memory.copy(out + (<usize>r * length << 2), from + (<usize>(r * n + int(1)) << 2), <usize>length << 2);
}

/** Two rows laid end to end. Numbers: columns of each. */
export function concat(): void {
  const a = pointer(0), b = pointer(1), out = pointer(2), n = int(0), m = int(1);
  for (let r = rowLo; r < rowHi; r++) {
    const to = out + (<usize>r * (n + m) << 2);
    memory.copy(to, a + (<usize>r * n << 2), <usize>n << 2);
    memory.copy(to + (<usize>n << 2), b + (<usize>r * m << 2), <usize>m << 2);
  }
}

/**
 * Each head's own rows of one matrix (see the op). Numbers: tokens, heads, matrix columns, rows of
 * a head's block, first row, rows used, transposed, format, scale offset (two), block rows, block
 * columns, matrix rows, heads of a unit.
 */
export function headLinear(): void {
  const x = pointer(0), w = pointer(1), y = pointer(2), heads = int(1), columns = int(2), rows = int(5), transposed = int(6) != 0;
  const inputs = transposed ? rows : columns, outputs = transposed ? columns : rows;
  setScales(size(8), int(10), int(11), int(12));
  for (let h = unitLo * int(13); h < unitHi * int(13); h++) {
    if (transposed) for (let t = 0; t < int(0); t++) memory.fill(y + (<usize>((t * heads + h) * outputs) << 2), 0, <usize>outputs << 2);
    for (let j = 0; j < rows; j++) {
      decodeRow(int(7), w, h * int(3) + int(4) + j, columns, scratch);
      for (let t = 0; t < int(0); t++) {
        const from = x + (<usize>((t * heads + h) * inputs) << 2), to = y + (<usize>((t * heads + h) * outputs) << 2);
        if (transposed) accumulate(to, scratch, load<f32>(from + (<usize>j << 2)), outputs);
        else store<f32>(to + (<usize>j << 2), dot(from, scratch, inputs));
      }
    }
  }
}
