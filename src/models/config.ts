// Reads the hub's config.json in both of its schemas, and says clearly what is wrong with it.
//
// Old files have `rope_theta` + `rope_scaling` and `torch_dtype`, new ones `rope_parameters` and
// `dtype`; multimodal releases nest the text model in `text_config`. A missing key is an error
// unless the caller names the default that the reference implementation documents.

import type { RopeConfig, RopeScaling } from '../nn/index.js';

/** A config that cannot describe a model: names the key, what was found and what was expected. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

type Json = Record<string, unknown>;

/** Extents above this are mistakes or attacks: the largest published vocabulary is 262,208. */
const LARGEST_EXTENT = 2 ** 24;

/**
 * Each layer and each expert of it becomes a part, and each rotated pair a stored frequency: a config
 * of a few bytes must not ask for billions. The largest published are 126, 512 and 576.
 */
const LARGEST: Readonly<Record<string, number>> = {
  num_hidden_layers: 1024, n_layer: 1024, n_routed_experts: 1024, num_experts: 1024, num_local_experts: 1024,
  head_dim: 2 ** 14, qk_rope_head_dim: 2 ** 14,
};

/** Keys of published configs that no forward pass reads and whose type is float. */
const TRAINING_FLOATS = [
  'attention_dropout', 'attn_pdrop', 'aux_loss_alpha', 'embd_pdrop', 'initializer_range', 'resid_pdrop', 'router_aux_loss_coef', 'router_jitter_noise', 'summary_first_dropout',
];

export class HfConfig {
  private readonly raw: Json;

  /** `floats` collects the keys that were read as numbers with a fraction, beside those that only training reads. */
  constructor(private readonly whole: unknown, private readonly where = 'config.json', readonly floats = new Set(TRAINING_FLOATS)) {
    if (!isObject(whole)) throw new ConfigError(`${where}: expected an object, got ${whole === null ? 'null' : Array.isArray(whole) ? 'a list' : typeof whole}`);
    this.raw = isObject(whole.text_config) ? { ...whole.text_config } : whole;
  }

  /** The outermost `model_type`. */
  get modelType(): string {
    const type = isObject(this.whole) ? this.whole.model_type : undefined;
    if (typeof type !== 'string') throw new ConfigError(`${this.where}: missing model_type`);
    return type;
  }

  has(key: string): boolean {
    return this.raw[key] !== undefined && this.raw[key] !== null;
  }

  /** A whole number of at least 1. */
  int(key: string, fallback?: number): number {
    return this.whole_number(key, 1, fallback);
  }

  /** A whole number of at least 0. */
  count(key: string, fallback?: number): number {
    return this.whole_number(key, 0, fallback);
  }

  num(key: string, fallback?: number): number {
    this.floats.add(key);
    return this.read(key, fallback, (v): v is number => typeof v === 'number' && Number.isFinite(v), 'a number');
  }

  bool(key: string, fallback?: boolean): boolean {
    return this.read(key, fallback, (v): v is boolean => typeof v === 'boolean', 'true or false');
  }

  str(key: string, fallback?: string): string {
    return this.read(key, fallback, (v): v is string => typeof v === 'string', 'a string');
  }

  /** A list; null and absent give undefined, and so does an empty one. */
  list<T extends string | number>(key: string): readonly T[] | undefined {
    if (!this.has(key)) return undefined;
    const value = this.raw[key];
    if (!Array.isArray(value)) throw this.wrong(key, value, 'a list');
    return value.length ? (value as T[]) : undefined;
  }

  /** One entry per layer, each of the allowed values; absent, null and empty give undefined. */
  perLayer<T extends string | number>(key: string, layers: number, allowed: readonly T[]): readonly T[] | undefined {
    const list = this.list<T>(key);
    if (!list) return undefined;
    if (list.length !== layers) throw new ConfigError(`${this.where}: ${key} has ${list.length} entries for ${layers} layers`);
    const odd = list.find((entry) => !allowed.includes(entry));
    if (odd !== undefined) throw new ConfigError(`${this.where}: ${key} holds ${JSON.stringify(odd)}, expected ${allowed.map((a) => JSON.stringify(a)).join(' or ')}`);
    return list;
  }

  /** True for `true` and for non-zero numbers (Llama 4 writes `attn_temperature_tuning` as 4). */
  flag(key: string, fallback: boolean): boolean {
    return typeof this.raw[key] === 'number' ? this.raw[key] !== 0 : this.bool(key, fallback);
  }

  /** The only value this implementation has for `key`: anything else is refused by name. */
  require(key: string, ...allowed: (string | number | boolean)[]): void {
    if (!this.has(key)) return;
    const value = this.raw[key];
    if (!allowed.includes(value as string)) throw new ConfigError(`${this.where}: ${key} ${JSON.stringify(value)} is not supported (only ${allowed.map((a) => JSON.stringify(a)).join(', ')})`);
  }

  /** Divisibility that the computation needs: heads by key/value heads, experts by groups. */
  multiple(key: string, of: string): void {
    const [a, b] = [this.int(key), this.int(of)];
    if (a % b !== 0) throw new ConfigError(`${this.where}: ${key} (${a}) must be a multiple of ${of} (${b})`);
  }

  /** The element type the checkpoint is published in, if it says so. */
  get dtype(): string | undefined {
    const outer = isObject(this.whole) ? this.whole : {};
    const value = this.raw.dtype ?? this.raw.torch_dtype ?? outer.dtype ?? outer.torch_dtype;
    return typeof value === 'string' ? value.replace(/^torch\./, '') : undefined;
  }

  /**
   * RoPE's theta and scaling, from either schema; `layerType` picks from a per-layer-type table.
   * `defaultTheta` where the reference has one.
   */
  rope(layerType?: string, defaultTheta?: number): RopeConfig {
    const table = isObject(this.raw.rope_parameters) ? this.raw.rope_parameters : undefined;
    const entry = table && layerType && isObject(table[layerType]) ? table[layerType] : table;
    const scaling = entry ?? (isObject(this.raw.rope_scaling) ? this.raw.rope_scaling : {});
    const reader = new HfConfig({ ...(scaling as Json) }, `${this.where}: ${entry ? 'rope_parameters' : 'rope_scaling'}`, this.floats);
    const theta = reader.has('rope_theta') ? reader.positive('rope_theta') : this.positive('rope_theta', defaultTheta);
    return { theta, scaling: reader.scaling(this) };
  }

  private scaling(outer: HfConfig): RopeScaling {
    const type = this.has('rope_type') ? this.str('rope_type') : this.str('type', 'default');
    switch (type) {
      case 'default': return { type: 'none' };
      case 'linear': return { type: 'linear', factor: this.positive('factor') };
      case 'llama3': return {
        type: 'llama3', factor: this.positive('factor'), lowFreqFactor: this.positive('low_freq_factor'), highFreqFactor: this.positive('high_freq_factor'),
        originalContext: this.int('original_max_position_embeddings'),
      };
      case 'yarn': {
        const originalContext = this.int('original_max_position_embeddings');
        const optional = (key: string) => (this.has(key) ? this.num(key) : undefined);
        return {
          type: 'yarn', originalContext, factor: (this.has('factor') ? this.positive('factor') : undefined) ?? outer.int('max_position_embeddings') / originalContext,
          betaFast: this.num('beta_fast', 32), betaSlow: this.num('beta_slow', 1),
          mscale: optional('mscale'), mscaleAllDim: optional('mscale_all_dim'), attentionFactor: optional('attention_factor'),
        };
      }
      default: throw new ConfigError(`${this.where}: RoPE scaling '${type}' is not supported (default, linear, llama3, yarn are)`);
    }
  }

  private positive(key: string, fallback?: number): number {
    const value = this.num(key, fallback);
    if (value <= 0) throw this.wrong(key, value, 'positive');
    return value;
  }

  private whole_number(key: string, least: number, fallback?: number): number {
    const value = this.read(key, fallback, (v): v is number => Number.isInteger(v), 'a whole number');
    const most = LARGEST[key] ?? LARGEST_EXTENT;
    // A default may be a quotient: hidden_size over heads.
    if (!Number.isInteger(value) || value < least || value > most) throw this.wrong(key, value, `a whole number from ${least} to ${most}`);
    return value;
  }

  private read<T>(key: string, fallback: T | undefined, fits: (value: unknown) => value is T, expected: string): T {
    if (!this.has(key)) {
      if (fallback !== undefined) return fallback;
      throw new ConfigError(`${this.where}: missing key '${key}' (${expected})`);
    }
    const value = this.raw[key];
    if (!fits(value)) throw this.wrong(key, value, expected);
    return value;
  }

  private wrong(key: string, value: unknown, expected: string): ConfigError {
    return new ConfigError(`${this.where}: ${key} must be ${expected}, got ${JSON.stringify(value)}`);
  }
}

function isObject(value: unknown): value is Json {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
