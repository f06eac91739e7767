// Tensors as rows that can be rearranged before anything is read: permuted, sliced, joined, transposed,
// moved by a constant. What works on whole rows works on block formats as they are; what takes rows
// apart decodes them to float32 first. GGUF and the hub store the same weights in different orders, and
// both directions of a conversion are made of these.
//
// All leading axes are collapsed: a tensor [E, out, in] has E * out rows of `in` numbers. A "matrix" is
// the last two axes.

import { CheckpointError, quoted } from '../error.js';
import { checkTensorRange } from '../stored.js';
import type { StoredTensor } from '../stored.js';
import { dequantize } from './dequantize.js';
import { bytesOfValues, formatOf } from './types.js';

export interface Rows {
  readonly shape: readonly number[];
  /** As GGUF spells it. */
  readonly dtype: string;
  /** The bytes of some rows. */
  read(first: number, count: number): Promise<Uint8Array>;
  /** Fills memory with rows from `first` on: where they lie in the file as they are wanted. */
  readInto?(first: number, target: Uint8Array): Promise<void>;
}

const product = (extents: readonly number[]): number => extents.reduce((total, extent) => total * extent, 1);
export const columnsOf = ({ shape }: Rows): number => shape.at(-1) ?? 1;
export const rowCount = ({ shape }: Rows): number => product(shape.slice(0, -1));
const matrixRows = ({ shape }: Rows): number => shape.at(-2) ?? 1;
const rowBytes = (rows: Rows): number => bytesOfValues(rows.dtype, columnsOf(rows));
const isPlain = ({ dtype }: Rows): boolean => formatOf(dtype).values === 1;

/** A stored tensor of a GGUF type. */
export function storedRows(tensor: StoredTensor): Rows {
  const { shape, dtype } = tensor;
  const bytes = bytesOfValues(dtype, shape.at(-1) ?? 1);
  return {
    shape, dtype,
    read: (first, count) => tensor.readRange(first * bytes, count * bytes),
    readInto: tensor.readInto && ((first, target) => tensor.readInto!(first * bytes, target)),
  };
}

/** The same numbers as float32. */
export function decoded(rows: Rows): Rows {
  if (rows.dtype === 'F32') return rows;
  return { shape: rows.shape, dtype: 'F32', read: async (first, count) => bytesOf(dequantize(rows.dtype, await rows.read(first, count))) };
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);

/** Bytes as float32 numbers to work on; the bytes must belong to the caller. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  const own = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
  return new Float32Array(own.buffer, own.byteOffset, own.byteLength / 4);
}

/** The same rows under another shape with rows of the same length. */
export function reshaped(rows: Rows, shape: readonly number[]): Rows {
  if (product(shape) !== product(rows.shape) || shape.at(-1) !== rows.shape.at(-1)) {
    throw new CheckpointError(`a tensor of shape [${rows.shape.join(', ')}] cannot be taken as [${shape.join(', ')}]`);
  }
  return { ...rows, shape };
}

/** Part of the first axis. */
export function slice(rows: Rows, start: number, length: number): Rows {
  const { shape: [, ...rest] } = rows;
  const inner = product(rest.slice(0, -1));
  return {
    shape: [length, ...rest], dtype: rows.dtype,
    read: (first, count) => rows.read(start * inner + first, count),
    readInto: rows.readInto && ((first, target) => rows.readInto!(start * inner + first, target)),
  };
}

/** One entry of the first axis, without that axis. */
export function entry(rows: Rows, index: number): Rows {
  return { ...slice(rows, index, 1), shape: rows.shape.slice(1) };
}

/** Equal tensors under a new first axis; in one type, so float32 where they differ. */
export function stacked(list: readonly Rows[]): Rows {
  const odd = list.find(({ shape }) => shape.join() !== list[0].shape.join());
  if (odd) throw new CheckpointError(`tensors of the shapes [${list[0].shape.join(', ')}] and [${odd.shape.join(', ')}] cannot be stacked`);
  const parts = inOneType(list);
  const [{ shape, dtype }] = parts;
  const each = rowCount(parts[0]);
  return {
    shape: [parts.length, ...shape], dtype,
    async read(first, count) {
      const out: Uint8Array[] = [];
      for (let row = first; row < first + count;) {
        const within = row % each;
        const length = Math.min(each - within, first + count - row);
        out.push(await parts[Math.floor(row / each)].read(within, length));
        row += length;
      }
      return concatenated(out);
    },
  };
}

function inOneType(list: readonly Rows[]): readonly Rows[] {
  return list.every(({ dtype }) => dtype === list[0].dtype) ? list : list.map(decoded);
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0];
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}

/**
 * Rows in another order within groups of `size` rows: row i of a group is row `from(i)` of the given
 * one. Reads whole groups.
 */
export function permuted(rows: Rows, size: number, from: (row: number) => number): Rows {
  const bytes = rowBytes(rows);
  return groupwise(rows.shape, rows.dtype, size, bytes, async (group, groups) => {
    const source = await rows.read(group * size, groups * size);
    const out = new Uint8Array(source.length);
    for (let r = 0; r < groups * size; r++) {
      const at = (r - (r % size) + from(r % size)) * bytes;
      out.set(source.subarray(at, at + bytes), r * bytes);
    }
    return out;
  });
}

/** Rows that are made a group at a time, `size` rows each, whatever range is asked for. */
function groupwise(shape: readonly number[], dtype: string, size: number, bytes: number, make: (group: number, groups: number) => Promise<Uint8Array>): Rows {
  return {
    shape, dtype,
    async read(first, count) {
      const group = Math.floor(first / size);
      const made = await make(group, Math.ceil((first + count) / size) - group);
      const skipped = (first - group * size) * bytes;
      return skipped === 0 && made.length === count * bytes ? made : made.slice(skipped, skipped + count * bytes);
    },
  };
}

/** Every number plus a constant, as float32. */
export function shifted(rows: Rows, constant: number): Rows {
  const floats = decoded(rows);
  return {
    shape: floats.shape, dtype: floats.dtype,
    async read(first, count) {
      // A copy: what is read may share memory with a file's.
      return bytesOf(floatsOf(await floats.read(first, count)).map((value) => value + constant));
    },
  };
}

/** The last two axes swapped. Block formats become float32, because a block lies within a row. */
export function transposed(rows: Rows): Rows {
  const plain = isPlain(rows) ? rows : decoded(rows);
  const [inputs, outputs] = [matrixRows(plain), columnsOf(plain)];
  const { bytes: size } = formatOf(plain.dtype);
  const shape = [...plain.shape.slice(0, -2), outputs, inputs];
  return groupwise(shape, plain.dtype, outputs, inputs * size, async (matrix, matrices) => {
    const source = await plain.read(matrix * inputs, matrices * inputs);
    const out = new Uint8Array(source.length);
    for (let m = 0; m < matrices; m++) {
      const range = [m * inputs * outputs * size, (m + 1) * inputs * outputs * size] as const;
      transposeElements(source.subarray(...range), out.subarray(...range), inputs, outputs, size);
    }
    return out;
  });
}

function transposeElements(from: Uint8Array, to: Uint8Array, rows: number, columns: number, size: number): void {
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
    const [a, b] = [(r * columns + c) * size, (c * rows + r) * size];
    for (let i = 0; i < size; i++) to[b + i] = from[a + i];
  }
}

/** Matrices below each other, first with first and so on: [n, A, in] and [n, B, in] to [n, A + B, in]. */
export function joinedRows(...list: readonly Rows[]): Rows {
  const around = ({ shape }: Rows): string => [...shape.slice(0, -2), shape.at(-1)].join(', ');
  if (list.some((rows) => rows.shape.length < 2 || around(rows) !== around(list[0]))) {
    throw new CheckpointError(`tensors of the shapes ${list.map(({ shape }) => `[${shape.join(', ')}]`).join(' and ')} cannot be joined`);
  }
  const parts = inOneType(list);
  const heights = parts.map(matrixRows);
  const height = heights.reduce((sum, each) => sum + each, 0);
  const shape = [...parts[0].shape.slice(0, -2), height, columnsOf(parts[0])];
  return groupwise(shape, parts[0].dtype, height, rowBytes(parts[0]), async (matrix, matrices) => {
    const out: Uint8Array[] = [];
    for (let m = matrix; m < matrix + matrices; m++) {
      for (const [i, part] of parts.entries()) out.push(await part.read(m * heights[i], heights[i]));
    }
    return concatenated(out);
  });
}

/** Some rows of every matrix: [n, A, in] to [n, length, in]. */
export function matrixSlice(rows: Rows, start: number, length: number): Rows {
  const height = matrixRows(rows);
  const shape = [...rows.shape.slice(0, -2), length, columnsOf(rows)];
  return groupwise(shape, rows.dtype, length, rowBytes(rows), async (matrix, matrices) => {
    const out: Uint8Array[] = [];
    for (let m = matrix; m < matrix + matrices; m++) out.push(await rows.read(m * height + start, length));
    return concatenated(out);
  });
}

/** Rows as a stored tensor under a name; types that `held` leaves out are decoded to float32. */
export function asStored(name: string, file: string, rows: Rows, held: (dtype: string) => boolean): StoredTensor {
  const given = held(rows.dtype) ? rows : decoded(rows);
  const bytes = rowBytes(given);
  const facts = { name, file, shape: given.shape, dtype: given.dtype, byteLength: rowCount(given) * bytes };
  return {
    ...facts,
    read: () => given.read(0, rowCount(given)),
    readInto: given.readInto && (async (offset, target) => {
      checkTensorRange(facts, offset, target.length);
      if (offset % bytes !== 0) throw new CheckpointError(`${file}: tensor ${quoted(name)} is read into memory by whole rows of ${bytes} bytes`);
      await given.readInto!(offset / bytes, target);
    }),
    async readRange(offset, length) {
      checkTensorRange(facts, offset, length);
      if (length === 0) return new Uint8Array(0);
      const first = Math.floor(offset / bytes);
      const read = await given.read(first, Math.ceil((offset + length) / bytes) - first);
      return read.length === length ? read : read.slice(offset - first * bytes, offset - first * bytes + length);
    },
  };
}

// A stack of experts may have gigabytes: they are read and encoded in pieces.
const PIECE_BYTES = 16 * 2 ** 20;

/** All rows encoded as another type, piece by piece. */
export async function* encodedRows(rows: Rows, type: string, encode: (values: Float32Array) => Uint8Array): AsyncGenerator<Uint8Array> {
  const count = rowCount(rows);
  // Whole matrices where rows are rearranged within them: each is read once then.
  const matrix = Math.min(matrixRows(rows), count);
  const perPiece = Math.max(1, Math.floor(PIECE_BYTES / (columnsOf(rows) * 4)));
  const step = perPiece >= matrix ? Math.floor(perPiece / matrix) * matrix : perPiece;
  for (let first = 0; first < count; first += step) {
    const bytes = await rows.read(first, Math.min(step, count - first));
    yield rows.dtype === type ? bytes : encode(dequantize(rows.dtype, bytes));
  }
}
