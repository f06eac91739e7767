// Typed access to the two descriptions of a model that are translated into each other: a GGUF file's
// metadata and the hub's config.json. What is missing or of the wrong kind is named with its file.

import { CheckpointError, quoted } from '../error.js';
import { isObject } from '../json.js';
import type { JsonObject } from '../json.js';
import type { MetadataValue } from './header.js';

/** A float32 as the shortest decimal that rounds to it: 1e-5, not 0.000009999999747378752. */
export function shortest(value: number): number {
  const short = Number(value.toPrecision(7));
  return Math.fround(short) === Math.fround(value) ? short : value;
}

/** Metadata under an architecture's prefix: `number('block_count')` is `llama.block_count`. */
export class GgufFacts {
  readonly architecture: string;

  constructor(readonly file: string, readonly metadata: ReadonlyMap<string, MetadataValue>, private readonly names: ReadonlyMap<string, unknown>) {
    const architecture = metadata.get('general.architecture');
    if (typeof architecture !== 'string') throw new CheckpointError(`${file} has no general.architecture, which says what the model is`);
    this.architecture = architecture;
  }

  /** Whether the file has a tensor of this name. */
  hasTensor(name: string): boolean {
    return this.names.has(name);
  }

  get(key: string): MetadataValue | undefined {
    return this.metadata.get(`${this.architecture}.${key}`);
  }

  /** A number; of a list with one for every layer, the one that all share. */
  optional(key: string): number | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    const all: readonly MetadataValue[] = Array.isArray(value) ? value : [value];
    const [first] = all;
    if (typeof first !== 'number' || !Number.isFinite(first)) throw this.wrong(key, 'a number');
    if (all.some((other) => other !== first)) throw this.wrong(key, 'the same for all layers; models whose layers differ in it are not supported');
    return shortest(first);
  }

  number(key: string, fallback?: number): number {
    const value = this.optional(key) ?? fallback;
    if (value === undefined) throw new CheckpointError(`${this.file} has no metadata ${this.architecture}.${key}, which a ${this.architecture} model needs`);
    return value;
  }

  text(key: string): string | undefined {
    const value = this.get(key);
    if (value !== undefined && typeof value !== 'string') throw this.wrong(key, 'a text');
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    const value = this.get(key) ?? fallback;
    if (typeof value !== 'boolean') throw this.wrong(key, 'true or false');
    return value;
  }

  /** Refuses a model that needs something the families here do not have. */
  refuse(condition: boolean, what: string): void {
    if (condition) throw new CheckpointError(`${this.file}: ${this.architecture} models with ${what} are not supported`);
  }

  private wrong(key: string, expected: string): CheckpointError {
    return new CheckpointError(`${this.file}: ${this.architecture}.${key} must be ${expected}`);
  }
}

/** The text model's part of a config.json, in either schema of RoPE's keys. */
export class HubConfig {
  readonly raw: JsonObject;

  constructor(config: JsonObject, readonly file = 'config.json') {
    this.raw = isObject(config.text_config) ? config.text_config : config;
    const type = config.model_type;
    if (typeof type !== 'string') throw new CheckpointError(`${file} has no model_type`);
    this.modelType = type;
  }

  /** The outermost one: a multimodal release's. */
  readonly modelType: string;

  has(key: string): boolean {
    return this.raw[key] !== undefined && this.raw[key] !== null;
  }

  optional(key: string): number | undefined {
    if (!this.has(key)) return undefined;
    const value = this.raw[key];
    if (typeof value !== 'number' || !Number.isFinite(value)) throw new CheckpointError(`${this.file}: ${key} must be a number, got ${quoted(value)}`);
    return value;
  }

  number(key: string, fallback?: number): number {
    const value = this.optional(key) ?? fallback;
    if (value === undefined) throw new CheckpointError(`${this.file} has no ${key}`);
    return value;
  }

  flag(key: string, fallback: boolean): boolean {
    return this.has(key) ? Boolean(this.raw[key]) : fallback;
  }

  list(key: string): readonly unknown[] | undefined {
    const value = this.raw[key];
    return Array.isArray(value) && value.length > 0 ? value : undefined;
  }

  /** The same config with values for keys that it leaves out. */
  with(defaults: JsonObject): HubConfig {
    const given = Object.fromEntries(Object.entries(this.raw).filter(([, value]) => value !== undefined && value !== null));
    return new HubConfig({ ...defaults, ...given, model_type: this.modelType }, this.file);
  }

  /** Refuses what llama.cpp has no key for and would compute otherwise. */
  require(condition: boolean, what: string): void {
    if (!condition) throw new CheckpointError(`${this.file}: a GGUF file cannot say ${what}; llama.cpp would compute something else`);
  }

  /** RoPE's parameters; `layerType` picks from a table per layer type. */
  rope(layerType?: string, defaultTheta?: number): HubRope {
    const table = isObject(this.raw.rope_parameters) ? this.raw.rope_parameters : undefined;
    const named = table && layerType !== undefined ? table[layerType] : undefined;
    const found = isObject(named) ? named : table ?? (isObject(this.raw.rope_scaling) ? this.raw.rope_scaling : {});
    const scaling = new HubConfig({ model_type: 'rope', ...found }, `${this.file}: RoPE`);
    const type = found.rope_type ?? found.type ?? 'default';
    return { type: String(type), theta: scaling.optional('rope_theta') ?? this.number('rope_theta', defaultTheta), scaling };
  }
}

export interface HubRope { readonly type: string; readonly theta: number; readonly scaling: HubConfig }
