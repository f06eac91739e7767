// Which weights are held in memory, and which stay on the disk to be fetched when they are used: the
// experts of a mixture first, of which a token needs few; then whole layers from the last, which every
// token needs in the same order, so that they can be read ahead.

import { walk } from '../nn/index.js';
import type { Decoder, KvCache } from '../nn/index.js';
import { webAssemblyFeatures } from '../platform/index.js';
import { byteLength, elementBytes, MEMORY64_CAPACITY, WASM_CAPACITY } from '../tensor/index.js';
import type { Backend } from '../tensor/index.js';
import type { KvFormat } from './kv-format.js';
import { layerOf, partsOf } from './fill.js';
import type { StreamingPlan, Target } from './weights.js';

/** What the process takes beside weights and cache: the runtime, code, activations. */
export const WORKSPACE_BYTES = 300e6;
/** The part of it that lies in the backend's own memory. */
const ACTIVATION_BYTES = 200e6;
/** Tokens that the cache is given room for where no context was asked for. */
export const CONTEXT_TOKENS = 4096;
/** Pages grow by doubling, and the old ones are there until they were copied. */
const KV_GROWTH = 1.5;
/** How much of the machine's memory is taken unasked: the rest is other programs' and the system's. */
const MACHINE_SHARE = 0.75;

/** What a plan asks of a backend. */
export type Limits = Pick<Backend, 'name' | 'capacity' | 'allocStreamed'>;

/** The wasm backend's here, for plans that are made without one. */
export function wasmLimits(): Limits {
  return { name: 'wasm', capacity: webAssemblyFeatures().memory64 ? MEMORY64_CAPACITY : WASM_CAPACITY, allocStreamed: () => [] };
}

export interface ResidencyOptions {
  /** Bytes that weights, cache and activations may take; undefined: what the backend can hold and the machine has to spare. */
  readonly memory?: number;
  /** Bytes of memory that the machine has, where that is known. */
  readonly machine?: number;
  /** Longest context, in tokens. */
  readonly contextLength?: number;
  readonly kv?: KvFormat;
}

export interface Residency {
  readonly kind: 'resident' | 'streamed';
  /** Bytes of all weights, in the types that they are held in. */
  readonly weights: number;
  /** Of the key/value cache, and how many tokens that is. */
  readonly kv: number;
  readonly kvTokens: number;
  /** Bytes of weights that are always in memory. */
  readonly held: number;
  readonly streaming?: StreamingPlan;
  /** Matrices of experts: how many there are, and for how many there is room. */
  readonly experts?: { readonly total: number; readonly inMemory: number };
  /** Layers whose matrices pass through memory for every token. */
  readonly layers?: { readonly total: number; readonly streamed: number };
  /** Why weights are streamed though nobody asked for as little memory, and what would help: a clause. */
  readonly hint?: string;
}

/** Decides. Throws a RangeError that says the least memory which would do. */
export function planResidency(decoder: Decoder, targets: readonly Target[], backend: Limits, name: string, options: ResidencyOptions = {}): Residency {
  const memory = options.memory ?? spare(backend, options);
  const { kv, kvTokens, beside } = cacheOf(decoder, options);
  const room = Math.min(memory - WORKSPACE_BYTES, (backend.capacity ?? Infinity) - ACTIVATION_BYTES) - beside;
  const weights = bytesOf(targets);
  const common = { weights, kv, kvTokens };
  if (weights <= room) return { kind: 'resident', held: weights, ...common };
  const plan = backend.allocStreamed && (withExperts(targets, room) ?? withLayers(targets, room));
  if (plan) return { kind: 'streamed', ...common, ...plan, hint: hint(weights + beside, backend, options) };
  throw new RangeError(tooLarge(name, weights, beside, backend, targets, options));
}

/** Bytes of a backend's memory that cache and activations will want, for `reserve`. */
export function bytesBeside(decoder: Decoder, options: Pick<ResidencyOptions, 'contextLength' | 'kv'> = {}): number {
  return cacheOf(decoder, options).beside + ACTIVATION_BYTES;
}

/** The cache: bytes, for how many tokens, and bytes while it grows to that. */
function cacheOf(decoder: Decoder, { contextLength, kv: format }: Pick<ResidencyOptions, 'contextLength' | 'kv'>): { kv: number; kvTokens: number; beside: number } {
  const kvTokens = contextLength ?? Math.min(decoder.frame.context, CONTEXT_TOKENS);
  const kv = kvBytes(decoder, kvTokens, format);
  return { kv, kvTokens, beside: Math.ceil(kv * KV_GROWTH) };
}

/** What may be taken unasked: where streaming is the alternative, no more than leaves the machine usable. */
function spare({ allocStreamed }: Limits, { machine = Infinity }: ResidencyOptions): number {
  return allocStreamed ? Math.max(WASM_CAPACITY + WORKSPACE_BYTES, MACHINE_SHARE * machine) : Infinity;
}

function hint(needed: number, backend: Limits, options: ResidencyOptions): string | undefined {
  const { memory = Infinity, machine = Infinity } = options;
  const asked = needed + WORKSPACE_BYTES > memory;
  if (asked || needed + ACTIVATION_BYTES > MEMORY64_CAPACITY) return undefined;
  const fits = memory < Infinity || needed + WORKSPACE_BYTES <= spare(backend, options);
  if (backend.capacity !== WASM_CAPACITY) return `in memory it would take more than three quarters of the ${gigabytes(machine)} that this machine has; a bound of your own (memory) may allow more`;
  return fits ? `32-bit addresses reach no more than ${gigabytes(WASM_CAPACITY)}; Node 24 or newer has 64-bit ones and would hold all of it` : undefined;
}

type Streams = Pick<Residency, 'held' | 'experts' | 'layers'> & { readonly streaming: StreamingPlan };

function withExperts(targets: readonly Target[], room: number): Streams | undefined {
  const stacks = targets.filter(isStack);
  const held = bytesOf(targets) - bytesOf(stacks);
  const cacheBytes = Math.min(room - held, bytesOf(stacks));
  if (stacks.length === 0 || cacheBytes < leastCache(stacks)) return undefined;
  return { held, streaming: { targets: stacks, cacheBytes }, experts: expertCount(stacks, cacheBytes) };
}

/** As many layers as must, from the last; the experts of all, if there are any. */
function withLayers(targets: readonly Target[], room: number): Streams | undefined {
  const layers = [...new Set(targets.map(layer))].filter(Boolean);
  const stacks = targets.filter(isStack);
  for (let count = 1; count <= layers.length; count++) {
    const away = new Set(layers.slice(-count));
    const streamed = targets.filter((target) => isStack(target) || (away.has(layer(target)) && isMatrix(target)));
    const held = bytesOf(targets) - bytesOf(streamed);
    const cacheBytes = Math.min(room - held, bytesOf(streamed));
    if (streamed.length === 0 || cacheBytes < leastCache(streamed)) continue;
    return { held, streaming: { targets: streamed, cacheBytes }, layers: { total: layers.length, streamed: count }, ...(stacks.length > 0 && { experts: expertCount(stacks, cacheBytes * (bytesOf(stacks) / bytesOf(streamed))) }) };
  }
  return undefined;
}

const layer = ({ parameter }: Target): string => layerOf(parameter.path);
const isStack = (target: Target): boolean => target.spec.shape.length === 3 && partsOf(target) !== undefined;
const isMatrix = (target: Target): boolean => target.spec.shape.length === 2 && partsOf(target) !== undefined;
const bytesOf = (targets: readonly Target[]): number => targets.reduce((sum, { spec }) => sum + byteLength(spec), 0);
const partBytes = ({ spec }: Target): number => byteLength({ ...spec, shape: spec.shape.slice(-2) });

function expertCount(stacks: readonly Target[], cacheBytes: number): NonNullable<Residency['experts']> {
  const total = stacks.reduce((sum, { spec }) => sum + spec.shape[0], 0);
  return { total, inMemory: Math.min(total, Math.floor((cacheBytes / bytesOf(stacks)) * total)) };
}

/** Room for two layers at once (one works, one is read), an expert counting as its matrices. */
function leastCache(targets: readonly Target[]): number {
  const byLayer = new Map<string, number>();
  for (const target of targets) byLayer.set(layer(target), (byLayer.get(layer(target)) ?? 0) + partBytes(target));
  return 2 * Math.max(...byLayer.values());
}

/** Bytes of keys and values of one sequence of so many tokens. */
function kvBytes(decoder: Decoder, tokens: number, format: KvFormat = 'f32'): number {
  const caches = [...walk(decoder)].map(([, part]) => part).filter((part): part is KvCache => part.kind === 'cache');
  return caches.reduce((sum, { width, mask }) => sum + elementBytes({ shape: [Math.min(tokens, mask.window ?? Infinity, mask.chunk ?? Infinity), width], dtype: format }), 0);
}

function tooLarge(name: string, weights: number, beside: number, backend: Limits, targets: readonly Target[], { memory }: ResidencyOptions): string {
  const { capacity = Infinity } = backend;
  const bound = memory !== undefined && memory < capacity ? `the ${gigabytes(memory)} allowed` : `the ${gigabytes(capacity)} that the ${backend.name} backend can hold`;
  const what = `the weights of ${name} take ${gigabytes(weights)}, with cache and workspace more than ${bound}`;
  if (!backend.allocStreamed) return `${what}; ${gigabytes(weights + beside + WORKSPACE_BYTES)} would do, or smaller weights (q8_0, q4_0), or the wasm backend, which streams from the disk`;
  const streamed = targets.filter((target) => isStack(target) || (layer(target) !== '' && isMatrix(target)));
  const least = bytesOf(targets) - bytesOf(streamed) + (streamed.length > 0 ? leastCache(streamed) : 0) + beside;
  const smaller = 'smaller weights (q8_0, q4_0) or a shorter context need less';
  if (least + ACTIVATION_BYTES > capacity) return `${what}, and so is what remains when layers are streamed (${gigabytes(least + ACTIVATION_BYTES)}); ${smaller}`;
  return `${what}; the least that would do is ${gigabytes(least + WORKSPACE_BYTES)}, with layers streamed from the disk; ${smaller}`;
}

/** Rounded up, so that what is asked for is enough. */
function gigabytes(bytes: number): string {
  const digits = bytes < 1e8 ? 3 : 1;
  return `${(Math.ceil((bytes / 1e9) * 10 ** digits) / 10 ** digits).toFixed(digits)} GB`;
}
