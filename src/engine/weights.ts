// Binds a checkpoint's tensors to a model's parameters.
//
// Driven by the stored tensors, in file order, so that every byte is read once and at most one
// matrix is in memory beside the weights themselves. What a parameter is made of (slices,
// transposed matrices, one tensor per expert) is declared by the family; here it is only obeyed.

import { dequantize, hasNonFinite, isBlockFormat, toFloat32 } from '../checkpoint/index.js';
import { encodeFloat32 } from '../checkpoint/encode.js';
import type { EncodedType } from '../checkpoint/encode.js';
import type { StoredTensor } from '../checkpoint/index.js';
import { constants, parameters } from '../nn/index.js';
import type { Decoder, Parameter, Piece } from '../nn/index.js';
import { byteLength, elementBytes, elementCount, empty, fitsBlocks, fromArray, isBlockType, scaleOffset, streamed } from '../tensor/index.js';
import type { Backend, Device, DType, Spec, StreamedBuffer, Tensor } from '../tensor/index.js';
import { sameShape } from '../tensor/op.js';
import { checkpointPieces, findPrefixes } from './names.js';

/** Weights as they are stored, or requantised while loading. */
export type WeightFormat = 'stored' | 'f32' | 'f16' | 'q8_0' | 'q4_0';

export interface LoadProgress { readonly loaded: number; readonly total: number; readonly tensor: string }

export interface BindOptions {
  readonly weights?: WeightFormat;
  /** `weight_block_size` of an FP8 checkpoint: rows and columns per scale. */
  readonly scaleBlock?: readonly [number, number];
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly onWarning?: (message: string) => void;
  readonly signal?: AbortSignal;
}

/** A checkpoint that does not fit the model its config describes. */
export class WeightsError extends Error {
  override readonly name = 'WeightsError';
}

/** One parameter to be filled: where each stored tensor goes. */
export interface Target {
  readonly parameter: Parameter;
  readonly spec: Spec;
  readonly pieces: readonly BoundPiece[];
  /** The quantised format that it would have, where `spec` is another because that cannot be computed with. */
  readonly insteadOf?: string;
}
interface BoundPiece {
  readonly piece: Piece;
  readonly stored: StoredTensor;
  readonly scales?: StoredTensor;
  /** Its first element's index in the parameter. */
  readonly start: number;
}

export interface Binding {
  /** Owned by the caller: release each when the model goes. */
  readonly tensors: Tensor[];
  /** Stored and not used, by name. */
  readonly skipped: string[];
}

const STORED_DTYPES: Readonly<Record<string, DType>> = { F32: 'f32', F16: 'f16', BF16: 'bf16', F8_E4M3: 'f8_e4m3', Q8_0: 'q8_0', Q4_0: 'q4_0', Q4_K: 'q4_k', Q6_K: 'q6_k' };

/** What a format is asked of: the backend that will compute. Undefined: one that has every kernel. */
type Kernels = Pick<Backend, 'name' | 'supports'> | undefined;

export interface BindingPlan { readonly targets: readonly Target[]; readonly skipped: string[] }

/** Parameters that stay where they are stored, and memory for what is fetched of them. */
export interface StreamingPlan { readonly targets: readonly Target[]; readonly cacheBytes: number }

/** What loading would bind, without reading any weights: targets, and names that nothing uses. */
export function planBinding(decoder: Decoder, tensors: ReadonlyMap<string, StoredTensor>, options: BindOptions = {}, kernels?: Kernels): BindingPlan {
  const prefixes = findPrefixes(decoder, tensors);
  const used = new Set<string>();
  const targets = parameters(decoder).map((parameter) => {
    let start = 0;
    const pieces = checkpointPieces(decoder, parameter, prefixes).map((piece) => {
      const bound = { piece, start, stored: find(tensors, piece, parameter), scales: tensors.get(`${piece.name}_scale_inv`) };
      start += elementCount(pieceShape(piece));
      used.add(piece.name);
      if (bound.scales) used.add(bound.scales.name);
      return bound;
    });
    return { parameter, pieces, ...target(parameter, pieces, options, kernels) };
  });
  return { targets, skipped: [...tensors.keys()].filter((name) => !used.has(name)) };
}

function find(tensors: ReadonlyMap<string, StoredTensor>, piece: Piece, parameter: Parameter): StoredTensor {
  const stored = tensors.get(piece.name);
  const shape = `[${piece.shape.join(', ')}]`;
  if (!stored) throw new WeightsError(`the checkpoint has no tensor '${piece.name}' of shape ${shape}, which ${parameter.path} needs`);
  if (!sameShape(stored.shape, piece.shape)) throw new WeightsError(`tensor '${piece.name}' in ${stored.file} has shape [${stored.shape.join(', ')}], expected ${shape}`);
  if (!(stored.dtype in STORED_DTYPES || isBlockFormat(stored.dtype))) throw new WeightsError(`tensor '${piece.name}' in ${stored.file} has type ${stored.dtype}; weights may be ${Object.keys(STORED_DTYPES).join(', ')} and GGUF's other block formats`);
  return stored;
}

/** The shape of a piece once it lies in the parameter. */
function pieceShape({ shape, columns, transposed }: Piece): number[] {
  const rest = shape.slice(0, -2);
  const last = columns ? columns[1] : shape.at(-1)!;
  if (shape.length < 2) return [last];
  return transposed ? [...rest, last, shape.at(-2)!] : [...rest, shape.at(-2)!, last];
}

/** The type that a parameter is held in: the wanted or stored one, or what comes closest and has kernels. */
function target(parameter: Parameter, pieces: readonly BoundPiece[], options: BindOptions, kernels: Kernels): Pick<Target, 'spec' | 'insteadOf'> {
  const { shape, precise } = parameter;
  const { weights = 'stored' } = options;
  // Vectors are tiny and read by every op: float32 always.
  if (shape.length < 2) return { spec: { shape, dtype: 'f32' } };
  if (weights !== 'stored' && !precise && fitsBlocks(weights, shape.at(-1)!)) return replaced({ shape, dtype: weights }, weights, parameter, kernels);
  const types = new Set(pieces.map(({ stored }) => stored.dtype));
  const [type] = types;
  if (types.size > 1) {
    const blocks = [...types].every(isBlockFormat) && !torn(pieces);
    return blocks ? replaced(undefined, [...types].sort().join(' and '), parameter, kernels) : { spec: { shape, dtype: 'f32' } };
  }
  if (!isBlockFormat(type)) return { spec: plainSpec(parameter, STORED_DTYPES[type], pieces, options) };
  if (torn(pieces)) return { spec: { shape, dtype: 'f32' } };
  return replaced(type in STORED_DTYPES ? { shape, dtype: STORED_DTYPES[type] } : undefined, type, parameter, kernels);
}

/** Whether loading takes rows apart, and with them the blocks that share a scale. */
const torn = (pieces: readonly BoundPiece[]): boolean => pieces.some(({ piece }) => piece.transposed || piece.columns);

/** `wanted` where the backend multiplies by it; else q8_0, whose steps are finer than other formats', else float32. */
function replaced(wanted: Spec | undefined, insteadOf: string, { shape, precise }: Parameter, kernels: Kernels): Pick<Target, 'spec' | 'insteadOf'> {
  const multiplies = ({ dtype }: Spec): boolean => {
    const [rows, columns] = shape.slice(-2);
    return !kernels || kernels.supports('linear', [{ shape: [1, columns], dtype: 'f32' }, { shape: [rows, columns], dtype }], {});
  };
  if (wanted && (!isBlockType(wanted.dtype) || multiplies(wanted))) return { spec: wanted };
  const q8: Spec = { shape, dtype: 'q8_0' };
  // What a family calls precise must not be rounded a second time.
  const good = !precise && fitsBlocks('q8_0', shape.at(-1)!) && multiplies(q8);
  return { spec: good ? q8 : { shape, dtype: 'f32' }, insteadOf };
}

function plainSpec(parameter: Parameter, dtype: DType, pieces: readonly BoundPiece[], { scaleBlock }: BindOptions): Spec {
  const { shape } = parameter;
  if (dtype !== 'f8_e4m3') return { shape, dtype };
  // Scales belong to blocks of a matrix, which would be torn apart.
  if (torn(pieces)) return { shape, dtype: 'f32' };
  const scaled = pieces.filter(({ scales }) => scales).length;
  if (scaled === 0) return { shape, dtype };
  const spec: Spec = { shape, dtype, scaleBlock };
  if (scaled < pieces.length || !scaleBlock) throw new WeightsError(`${parameter.path} is FP8 with scales, but ${scaleBlock ? 'some of its tensors have no weight_scale_inv' : "the config's quantization_config has no weight_block_size"}`);
  return spec;
}

/**
 * Reads every weight into buffers of `device` and binds them, but for those that are to be streamed.
 * On any failure nothing stays allocated.
 */
export async function bindWeights(decoder: Decoder, { targets, skipped }: BindingPlan, device: Device, options: BindOptions = {}, streaming?: StreamingPlan): Promise<Binding> {
  for (const warning of replacements(targets, device.backend.name)) options.onWarning?.(warning);
  const away = new Set(streaming?.targets);
  const held = targets.filter((target) => !away.has(target));
  const bytes = held.reduce((sum, { spec }) => sum + byteLength(spec), streaming?.cacheBytes ?? 0);
  await device.backend.reserve(bytes);
  const owned: Tensor[] = [];
  try {
    const homes = new Map<Target, Tensor>();
    for (const target of held) {
      const home = empty(device, target.spec).retain();
      owned.push(home);
      homes.set(target, home);
    }
    if (streaming) {
      const tensors = streamed(device, streaming.targets.map((target) => streamedBuffer(target, options)), streaming.cacheBytes);
      tensors.forEach((tensor, i) => { owned.push(tensor.retain()); homes.set(streaming.targets[i], tensor); });
    }
    await fill(held, homes, options);
    for (const [target, home] of homes) target.parameter.bind(home);
    owned.push(...bindConstants(decoder, device));
    return { tensors: owned, skipped };
  } catch (error) {
    for (const tensor of owned) tensor.release();
    throw error;
  }
}

/** In a sentence for each format: what is not held as it was stored or wanted, and as what instead. */
export function replacements(targets: readonly Target[], backend: string): string[] {
  const counts = new Map<string, number>();
  for (const { insteadOf, spec } of targets) if (insteadOf) counts.set(`${insteadOf}/${spec.dtype}`, (counts.get(`${insteadOf}/${spec.dtype}`) ?? 0) + 1);
  return [...counts].map(([key, count]) => {
    const [from, to] = key.split('/');
    return `${count} ${count === 1 ? 'matrix is' : 'matrices are'} held as ${to} instead of ${from}, which the ${backend} backend does not compute with`;
  });
}

/** Uploads what the definition itself gives; equal constants share a buffer. */
export function bindConstants(decoder: Decoder, device: Device): Tensor[] {
  const shared = new Map<string, Tensor>();
  for (const constant of constants(decoder)) {
    const key = constant.values.join();
    const tensor = shared.get(key) ?? fromArray(device, [constant.values.length], constant.values).retain();
    shared.set(key, tensor);
    constant.bind(tensor);
  }
  return [...shared.values()];
}

async function fill(targets: readonly Target[], homes: ReadonlyMap<Target, Tensor>, options: BindOptions): Promise<void> {
  const uses = new Map<StoredTensor, { target: Target; bound: BoundPiece }[]>();
  for (const target of targets) for (const bound of target.pieces) uses.set(bound.stored, [...(uses.get(bound.stored) ?? []), { target, bound }]);
  const total = [...uses.keys()].reduce((sum, { byteLength: n }) => sum + n, 0);
  let loaded = 0;
  for (const [stored, places] of uses) {
    let finite = true;
    for await (const matrix of matrices(stored, places[0].bound, options.scaleBlock)) {
      options.signal?.throwIfAborted();
      finite &&= !hasNonFinite(matrix.dtype, matrix.bytes) && !matrix.scales?.values.some((s) => !Number.isFinite(s));
      for (const { target, bound } of places) {
        const { device: { backend }, storage } = homes.get(target)!;
        place(matrix, bound, target.spec, bound.start, (offset, bytes) => backend.write(storage.id, offset, bytes));
      }
      loaded += matrix.storedBytes;
      options.onProgress?.({ loaded, total, tensor: stored.name });
    }
    if (!finite) options.onWarning?.(`tensor '${stored.name}' in ${stored.file} holds NaN or infinite numbers`);
  }
}

/** One stored matrix, and where in its part it begins. */
interface PartPiece { readonly bound: BoundPiece; readonly matrix: number; readonly start: number }

/** What each part of a parameter (a matrix, or each of a stack) is made of; undefined where stored matrices straddle parts. */
export function partsOf({ spec: { shape }, pieces }: Target): readonly (readonly PartPiece[])[] | undefined {
  if (shape.length < 2 || shape.length > 3) return undefined;
  const size = elementCount(shape.slice(-2));
  const parts: PartPiece[][] = Array.from({ length: elementCount(shape) / size }, () => []);
  for (const bound of pieces) {
    const piece = pieceShape(bound.piece);
    const each = elementCount(piece.slice(-2));
    for (let matrix = 0; matrix < elementCount(piece) / each; matrix++) {
      const first = bound.start + matrix * each;
      const part = Math.floor(first / size);
      if (first + each > (part + 1) * size) return undefined;
      parts[part].push({ bound, matrix, start: first - part * size });
    }
  }
  return parts;
}

/** A parameter as something to be fetched. What a damaged file holds is found out then. */
function streamedBuffer(target: Target, { scaleBlock, signal }: BindOptions): StreamedBuffer {
  const { parameter: { path }, spec } = target;
  const parts = partsOf(target)!;
  const part: Spec = { ...spec, shape: spec.shape.slice(-2) };
  signal?.throwIfAborted();
  return {
    name: path, spec, group: layerOf(path),
    async read(index, bytes) {
      await Promise.all(parts[index].map(async ({ bound, matrix, start }) => {
        const before = matrix * elementCount(bound.stored.shape.slice(-2)) / (bound.stored.shape.at(-1) ?? 1);
        for await (const rows of matrices(bound.stored, bound, scaleBlock, matrix)) place({ ...rows, firstRow: rows.firstRow - before }, bound, part, start, (offset, piece) => bytes.set(piece, offset));
      }));
    },
  };
}

/** The layer that a parameter belongs to: `layers.3`; empty for those of the frame. */
export function layerOf(path: string): string {
  return /^layers\.\d+/.exec(path)?.[0] ?? '';
}

/** Some rows of one matrix (the last two axes) of a stored tensor. */
interface Matrix {
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

/** Large tables are read in chunks of rows; what is transposed or has FP8 scales comes a matrix at a time. `only`: one matrix. */
const CHUNK_BYTES = 64 * 2 ** 20;

async function* matrices(stored: StoredTensor, { piece, scales }: BoundPiece, block?: readonly [number, number], only?: number): AsyncGenerator<Matrix> {
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
function place(matrix: Matrix, { piece }: BoundPiece, spec: Spec, start: number, write: (offset: number, bytes: Uint8Array) => void): void {
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
