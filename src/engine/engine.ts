// A model that is ready to run: its definition bound to weights on a device, and the runner of
// its steps. Text, sampling and files other than weights are not its business.

import type { Checkpoint } from '../checkpoint/index.js';
import { buildModel } from '../models/index.js';
import type { Family } from '../models/index.js';
import { observe, parameters } from '../nn/index.js';
import type { Decoder } from '../nn/index.js';
import { platform } from '../platform/index.js';
import { Device, PAGE_TOKENS, scope } from '../tensor/index.js';
import type { Backend, Tensor } from '../tensor/index.js';
import type { KvFormat } from './kv-format.js';
import { bytesBeside, planResidency } from './residency.js';
import type { Residency } from './residency.js';
import { Runner } from './runner.js';
import { StepBlock } from './step.js';
import { bindConstants, bindWeights, planBinding } from './weights.js';
import type { BindOptions } from './weights.js';

export interface EngineOptions extends BindOptions {
  /** Longest context to allow, in tokens; the model's own by default. */
  readonly contextLength?: number;
  /** False runs every step anew instead of replaying recorded ones. */
  readonly replay?: boolean;
  /** How cached keys and values are kept: 'f32' (default), or rounded to 'f16' or 'q8_0' in half or a quarter of the memory. */
  readonly kv?: KvFormat;
  /**
   * Bytes that weights, cache and activations may take. Where they need more, experts and then whole
   * layers stay on the disk and are fetched on use (wasm backend); what cannot work is refused before
   * any weight is read. By default what the backend can hold; beyond 4 GiB, no more than three quarters
   * of the machine's memory.
   */
  readonly memory?: number;
}

/** What `trace` saw of one value: its shape and numbers. */
export interface Traced { readonly shape: readonly number[]; readonly data: Float32Array }

export class Engine {
  private constructor(
    readonly family: Family, readonly decoder: Decoder, readonly device: Device, readonly runner: Runner,
    private readonly owned: readonly Tensor[], readonly skipped: readonly string[],
    /** Config keys that hold numbers with a fraction. */
    readonly floatKeys: ReadonlySet<string>,
    /** What is in memory and what is streamed; undefined for weights that the caller made. */
    readonly residency?: Residency,
  ) {}

  /**
   * Binds a checkpoint's weights. The backend is the engine's from here on, also on failure. While
   * weights are streamed (`residency`), the checkpoint must stay open.
   */
  static async open(checkpoint: Checkpoint, backend: Backend, options: EngineOptions = {}): Promise<Engine> {
    const device = new Device(backend);
    try {
      const { family, hf, decoder } = buildModel(checkpoint.config, `${checkpoint.name}: config.json`);
      const context = contextLength(decoder, options);
      const scaleBlock = options.scaleBlock ?? fp8Block(checkpoint.config);
      const binding = { ...options, scaleBlock };
      const plan = planBinding(decoder, checkpoint.tensors, binding, backend);
      // Before the weights: it tells whether the backend can keep the cache.
      const runner = new Runner(device, decoder, context, options.replay, options.kv);
      const bounds = { ...options, contextLength: options.contextLength && context, machine: (await platform()).memory };
      const residency = planResidency(decoder, plan.targets, backend, checkpoint.name, bounds);
      if (residency.hint) options.onWarning?.(`${checkpoint.name} is streamed from the disk: ${residency.hint}`);
      const { tensors, skipped } = await bindWeights(decoder, plan, device, binding, { streaming: residency.streaming, later: bytesBeside(decoder, bounds) });
      return new Engine(family, decoder, device, runner, tensors, skipped, hf.floats, residency);
    } catch (error) {
      backend.dispose();
      throw error;
    }
  }

  /** A model whose weights the caller makes, one tensor per parameter. */
  static create(config: unknown, backend: Backend, weight: (parameter: ReturnType<typeof parameters>[number], device: Device) => Tensor, options: EngineOptions = {}): Engine {
    const device = new Device(backend);
    const { family, hf, decoder } = buildModel(config);
    const owned = parameters(decoder).map((parameter) => {
      const tensor = weight(parameter, device).retain();
      parameter.bind(tensor);
      return tensor;
    });
    owned.push(...bindConstants(decoder, device));
    return new Engine(family, decoder, device, new Runner(device, decoder, contextLength(decoder, options), options.replay, options.kv), owned, [], hf.floats);
  }

  /**
   * Runs `tokens` once through the unfused definition and keeps every value whose path `wants`
   * accepts: 'embeddings', 'layers.N', any part below, 'norm', 'logits'; `path#2` where a part runs twice.
   */
  async trace(tokens: readonly number[], wants: (path: string) => boolean): Promise<Map<string, Traced>> {
    this.runner.checkTokens(tokens);
    if (tokens.length === 0) throw new RangeError('there is nothing to trace: no tokens were given');
    const { kv } = this.runner;
    const sequence = this.runner.sequence();
    const block = new StepBlock(this.device, kv, { tokens: tokens.length, sequences: 1, rows: 0, pages: Math.ceil(tokens.length / PAGE_TOKENS) });
    const seen = new Map<string, Tensor>();
    try {
      kv.groups.forEach((group, i) => group.extend(sequence.lists[i], 0, tokens.length));
      block.write({ tokens, positions: tokens.map((_, i) => i), slots: tokens.map(() => 0), rows: [], pages: kv.groups.map((_, g) => [sequence.lists[g]]) });
      const see = (path: string, output: Tensor) => { if (path && wants(path)) seen.set(unused(seen, path), output.retain()); };
      // Nothing is returned: what was not asked for dies with the scope.
      scope(() => { observe(see, () => this.decoder(block)); });
      const entries: [string, Traced][] = [];
      for (const [path, tensor] of seen) entries.push([path, { shape: tensor.shape, data: await tensor.toFloat32() }]);
      return new Map(entries);
    } finally {
      for (const tensor of seen.values()) tensor.release();
      block.dispose();
      sequence.dispose();
    }
  }

  dispose(): void {
    this.runner.dispose();
    for (const parameter of parameters(this.decoder)) parameter.bind(undefined);
    for (const tensor of this.owned) tensor.release();
    this.device.backend.dispose();
  }
}

/** A part that runs twice (RoPE of queries, then of keys) is seen as `path` and `path#2`. */
function unused(seen: ReadonlyMap<string, unknown>, path: string): string {
  let key = path;
  for (let n = 2; seen.has(key); n++) key = `${path}#${n}`;
  return key;
}

function contextLength(decoder: Decoder, { contextLength: wanted }: EngineOptions): number {
  const { context } = decoder.frame;
  if (wanted === undefined) return context;
  if (!Number.isInteger(wanted) || wanted < 1) throw new RangeError(`contextLength must be a whole number of tokens, got ${wanted}`);
  if (decoder.frame.positions && wanted > context) throw new RangeError(`contextLength ${wanted} is more than the ${context} positions that the model has`);
  return wanted;
}

/** Rows and columns per scale, from quantization_config. */
function fp8Block(config: Record<string, unknown>): readonly [number, number] | undefined {
  const quantization = (config.quantization_config ?? (config.text_config as Record<string, unknown> | undefined)?.quantization_config) as { weight_block_size?: unknown } | undefined;
  const size = quantization?.weight_block_size;
  const valid = Array.isArray(size) && size.length === 2 && size.every((n) => Number.isInteger(n) && n > 0);
  if (size !== undefined && !valid) throw new RangeError(`config.json: weight_block_size must be two whole numbers, got ${JSON.stringify(size)}`);
  return valid ? (size as [number, number]) : undefined;
}
