// Binds a checkpoint's tensors to a model's parameters.
//
// Driven by the stored tensors, in file order, so that every byte is read once (fill.ts). What a parameter is made of (slices,
// transposed matrices, one tensor per expert) is declared by the family; here it is only obeyed.

import { isBlockFormat } from '../checkpoint/index.js';
import type { StoredTensor } from '../checkpoint/index.js';
import { constants, parameters } from '../nn/index.js';
import type { Decoder, Parameter, Piece } from '../nn/index.js';
import { byteLength, elementCount, empty, fitsBlocks, fromArray, isBlockType, streamed } from '../tensor/index.js';
import type { Backend, Device, DType, Spec, Tensor } from '../tensor/index.js';
import { sameShape } from '../tensor/op.js';
import { fill, streamedBuffers } from './fill.js';
import { checkpointPieces, findPrefixes } from './names.js';
import { pieceShape, STORED_DTYPES, torn, WeightsError } from './placing.js';
import type { BoundPiece } from './placing.js';

export { WeightsError } from './placing.js';

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

/** One parameter to be filled: where each stored tensor goes. */
export interface Target {
  readonly parameter: Parameter;
  readonly spec: Spec;
  readonly pieces: readonly BoundPiece[];
  /** The quantised format that it would have, where `spec` is another because that cannot be computed with. */
  readonly insteadOf?: string;
}

export interface Binding {
  /** Owned by the caller: release each when the model goes. */
  readonly tensors: Tensor[];
  /** Stored and not used, by name. */
  readonly skipped: string[];
}

/** What a format is asked of: the backend that will compute. Undefined: one that has every kernel. */
type Kernels = Pick<Backend, 'name' | 'supports'> | undefined;

export interface BindingPlan { readonly targets: readonly Target[]; readonly skipped: string[] }

/** Parameters that stay where they are stored, and memory for what is fetched of them. */
export interface StreamingPlan { readonly targets: readonly Target[]; readonly cacheBytes: number }

/** What is to be streamed, and bytes that cache and activations will want beside the weights. */
export interface Room { readonly streaming?: StreamingPlan; readonly later?: number }

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
export async function bindWeights(decoder: Decoder, { targets, skipped }: BindingPlan, device: Device, options: BindOptions = {}, { streaming, later }: Room = {}): Promise<Binding> {
  for (const warning of replacements(targets, device.backend.name)) options.onWarning?.(warning);
  const away = new Set(streaming?.targets);
  const held = targets.filter((target) => !away.has(target));
  const bytes = held.reduce((sum, { spec }) => sum + byteLength(spec), streaming?.cacheBytes ?? 0);
  await device.backend.reserve(bytes, later);
  const owned: Tensor[] = [];
  try {
    const homes = new Map<Target, Tensor>();
    for (const target of held) {
      const home = empty(device, target.spec).retain();
      owned.push(home);
      homes.set(target, home);
    }
    if (streaming) {
      const tensors = streamed(device, streamedBuffers(streaming.targets, options), streaming.cacheBytes);
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
