// What loading within a bound would do on the CPU backend: hold everything, stream experts or layers, or
// refuse. Decided by the engine's own planner, from headers or, without a checkpoint, from the declared
// tensors.

import type { StoredTensor } from '../checkpoint/index.js';
import { checkpointPieces, publishedPrefixes } from '../engine/names.js';
import { planResidency, wasmLimits, WORKSPACE_BYTES } from '../engine/residency.js';
import type { Residency } from '../engine/residency.js';
import { planBinding, replacements } from '../engine/weights.js';
import type { BindingPlan, WeightFormat } from '../engine/weights.js';
import { parameters } from '../nn/index.js';
import type { Decoder } from '../nn/index.js';
import { elementCount } from '../tensor/index.js';

export interface MemoryOptions {
  /** Bytes that weights, cache and activations may take. */
  readonly memory: number;
  /** Weights as they are stored (without a checkpoint: in bf16), or requantised while loading. */
  readonly weights?: WeightFormat;
  /** Tokens that the cache is to hold. */
  readonly contextLength?: number;
  readonly scaleBlock?: readonly [number, number];
}

export interface MemoryForecast extends Omit<Residency, 'streaming' | 'kind'> {
  readonly kind: Residency['kind'] | 'impossible';
  readonly memory: number;
  /** For the runtime, code and activations. */
  readonly workspace: number;
  /** Bytes of memory that streamed weights pass through; 0: none are. */
  readonly cache: number;
  /** Why it cannot work, and what would. */
  readonly reason?: string;
}

/** Says what loading would do. */
export function forecastMemory(decoder: Decoder, tensors: ReadonlyMap<string, StoredTensor> | undefined, name: string, { memory, weights, contextLength, scaleBlock }: MemoryOptions): MemoryForecast {
  const { targets } = planBinding(decoder, tensors ?? declaredTensors(decoder), { weights, scaleBlock });
  try {
    const { streaming, ...residency } = planResidency(decoder, targets, wasmLimits(), name, { memory, contextLength });
    return { ...residency, memory, workspace: WORKSPACE_BYTES, cache: streaming?.cacheBytes ?? 0 };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const { kv, kvTokens, weights: all } = planResidency(decoder, targets, { name: 'wasm' }, name, { contextLength });
    return { kind: 'impossible', reason: error.message, weights: all, kv, kvTokens, held: 0, memory, workspace: WORKSPACE_BYTES, cache: 0 };
  }
}

/** Matrices that are loaded in another type than they are stored in, a sentence per type. */
export function formatReplacements({ targets }: BindingPlan): string[] {
  return replacements(targets, 'wasm');
}

/** Every tensor that a checkpoint of this model would hold, in bf16; none can be read. */
export function declaredTensors(decoder: Decoder): ReadonlyMap<string, StoredTensor> {
  const prefixes = publishedPrefixes(decoder);
  const unread = (): Promise<never> => Promise.reject(new Error('a config has no weights'));
  return new Map(parameters(decoder).flatMap((parameter) => checkpointPieces(decoder, parameter, prefixes)).map(({ name, shape }) =>
    [name, { name, dtype: 'BF16', shape, file: 'config.json', byteLength: 2 * elementCount(shape), read: unread, readRange: unread }]));
}
