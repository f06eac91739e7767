// How the bytes of stored tensors become those of parameters: which lie as they are wanted, and how the
// others are read in rows, decoded, taken apart, put together and encoded.

import { dequantize, isBlockFormat, toFloat32 } from '../checkpoint/index.js';
import type { StoredTensor } from '../checkpoint/index.js';
import { encodeFloat32 } from '../checkpoint/encode.js';
import type { EncodedType } from '../checkpoint/encode.js';
import type { Piece } from '../nn/index.js';
import { elementBytes, elementCount, scaleOffset } from '../tensor/index.js';
import type { DType, Spec } from '../tensor/index.js';
import { sameShape } from '../tensor/op.js';

/** A checkpoint that does not fit the model its config describes. */
export class WeightsError extends Error {
  override readonly name = 'WeightsError';
}

/** One stored tensor as a piece of a parameter. */
export interface BoundPiece {
  readonly piece: Piece;
  readonly stored: StoredTensor;
  readonly scales?: StoredTensor;
  /** Its first element's index in the parameter. */
  readonly start: number;
}

export const STORED_DTYPES: Readonly<Record<string, DType>> = { F32: 'f32', F16: 'f16', BF16: 'bf16', F8_E4M3: 'f8_e4m3', Q8_0: 'q8_0', Q4_0: 'q4_0', Q4_K: 'q4_k', Q6_K: 'q6_k' };

/** The shape of a piece once it lies in the parameter. */
export function pieceShape({ shape, columns, transposed }: Piece): number[] {
  const rest = shape.slice(0, -2);
  const last = columns ? columns[1] : shape.at(-1)!;
  if (shape.length < 2) return [last];
  return transposed ? [...rest, last, shape.at(-2)!] : [...rest, shape.at(-2)!, last];
}

/** Whether loading takes rows apart, and with them the blocks that share a scale. */
export const torn = (pieces: readonly Pick<BoundPiece, 'piece'>[]): boolean => pieces.some(({ piece }) => piece.transposed || piece.columns);

/** Whether a stored tensor's bytes are a parameter's, one after the other. */
export function liesAsWanted({ piece, stored, scales }: BoundPiece, spec: Spec): boolean {
  return STORED_DTYPES[stored.dtype] === spec.dtype && !scales && !spec.scaleBlock && !torn([{ piece }]);
}

/** Some rows of one matrix (the last two axes) of a stored tensor. */
export interface Matrix {
  readonly bytes: Uint8Array;
  /** As stored, or F32 where that is a block format that no tensor keeps. */
  readonly dtype: string;
  readonly storedBytes: number;
  readonly rows: number;
  readonly columns: number;
  /** Row of the whole tensor that these begin with, all leading axes collapsed. */
  readonly firstRow: number;
  readonly scales?: { readonly values: Float32Array; readonly rows: number; readonly columns: number; readonly block: readonly [number, number] };
}

// What is rearranged is in memory several times over: as stored, as float32, as it is wanted.
const CHUNK_BYTES = 2 ** 20;

/** Large tables come in chunks of rows; what is transposed or has FP8 scales a matrix at a time. `only`: one matrix. */
export async function* matrices(stored: StoredTensor, { piece, scales }: BoundPiece, block?: readonly [number, number], only?: number): AsyncGenerator<Matrix> {
  const columns = stored.shape.at(-1) ?? 1;
  const matrixRows = stored.shape.length > 1 ? stored.shape.at(-2)! : 1;
  const allRows = elementCount(stored.shape) / columns;
  const rowBytes = stored.byteLength / allRows;
  const scaleTable = scales && block ? await readScales(scales, matrixRows, columns, block) : undefined;
  const whole = piece.transposed || scaleTable;
  // A block format may have to become float32, which is up to 16 times as much.
  const step = whole ? matrixRows : Math.max(1, Math.floor(CHUNK_BYTES / Math.max(rowBytes, isBlockFormat(stored.dtype) ? 4 * columns : 0)));
  const [begin, end] = only === undefined ? [0, allRows] : [only * matrixRows, (only + 1) * matrixRows];
  for (let firstRow = begin; firstRow < end; firstRow += step) {
    const rows = Math.min(step, end - firstRow);
    const bytes = await stored.readRange(firstRow * rowBytes, rows * rowBytes);
    const kept = stored.dtype in STORED_DTYPES;
    yield { bytes: kept ? bytes : bytesOf(dequantize(stored.dtype, bytes)), dtype: kept ? stored.dtype : 'F32', storedBytes: bytes.byteLength, rows, columns, firstRow, scales: scaleTable };
  }
}

async function readScales(stored: StoredTensor, rows: number, columns: number, block: readonly [number, number]): Promise<NonNullable<Matrix['scales']>> {
  const expected = [Math.ceil(rows / block[0]), Math.ceil(columns / block[1])];
  if (!sameShape(stored.shape, expected)) throw new WeightsError(`tensor '${stored.name}' in ${stored.file} has shape [${stored.shape.join(', ')}], expected [${expected.join(', ')}] for blocks of ${block.join(' x ')}`);
  return { values: toFloat32(stored.dtype, await stored.read()), rows: expected[0], columns: expected[1], block };
}

/** Writes rows of a stored tensor to their place in a tensor of `spec`, in which the piece's first element has the index `start`. */
export function place(matrix: Matrix, { piece }: BoundPiece, spec: Spec, start: number, write: (offset: number, bytes: Uint8Array) => void): void {
  const asStored = STORED_DTYPES[matrix.dtype] === spec.dtype && Boolean(matrix.scales) === Boolean(spec.scaleBlock);
  const columns = piece.columns?.[1] ?? matrix.columns;
  const element = start + matrix.firstRow * columns;
  const source = asStored ? matrix.bytes : bytesOf(floats(matrix));
  const arranged = arrange(source, source.byteLength / (matrix.rows * matrix.columns), matrix, piece);
  const out = asStored || spec.dtype === 'f32' ? arranged : encodeFloat32(spec.dtype as EncodedType, new Float32Array(arranged.buffer, arranged.byteOffset, arranged.byteLength / 4));
  write(elementBytes({ shape: [element], dtype: spec.dtype }), out);
  if (asStored && matrix.scales) {
    const { values } = matrix.scales;
    const index = element / (matrix.rows * columns);
    write(scaleOffset(spec) + index * values.byteLength, bytesOf(values));
  }
}

function floats({ dtype, bytes, scales, columns }: Matrix): Float32Array {
  const values = isBlockFormat(dtype) ? dequantize(dtype, bytes) : toFloat32(dtype, bytes);
  if (!scales) return values;
  const [blockRows, blockColumns] = scales.block;
  return values.map((value, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    return value * scales.values[Math.floor(row / blockRows) * scales.columns + Math.floor(column / blockColumns)];
  });
}

const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** Takes the wanted columns and swaps rows with columns where the piece says so. */
function arrange(bytes: Uint8Array, size: number, { rows, columns }: Matrix, { columns: range, transposed }: Piece): Uint8Array {
  if (!range && !transposed) return bytes;
  const [start, length] = range ?? [0, columns];
  const out = new Uint8Array(rows * length * size);
  for (let r = 0; r < rows; r++) for (let c = 0; c < length; c++) {
    const from = (r * columns + start + c) * size;
    const to = (transposed ? c * rows + r : r * length + c) * size;
    for (let b = 0; b < size; b++) out[to + b] = bytes[from + b];
  }
  return out;
}
