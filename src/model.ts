// The public model: loads a checkpoint from wherever it is, and computes, generates, traces, saves.

import { configText, floatKeys } from './checkpoint/config_text.js';
import { openCheckpoint, resolveSource } from './checkpoint/index.js';
import type { Checkpoint, CheckpointSource, DownloadProgress } from './checkpoint/index.js';
import { createBackend, Engine, savedConfig, saveWeights } from './engine/index.js';
import type { BackendName, KvFormat, LoadProgress, Sequence, StepRequest, Traced, WeightFormat } from './engine/index.js';
import { generate, generateBatch } from './generate/index.js';
import type { BatchOptions, Completion, FinishReason, GenerateOptions, Piece } from './generate/index.js';
import { platform } from './platform/index.js';
import type { Directory } from './platform/index.js';
import { promptIds, tokenizerFromFiles } from './tokenizer/index.js';
import type { Prompt, Tokenizer } from './tokenizer/index.js';
import { textFiles } from './tokenizer/source.js';

/** Rows of logits that are read at a time: a row is as long as the vocabulary. */
const LOGITS_TOKENS = 256;

export interface LoadOptions {
  readonly backend?: BackendName | 'auto';
  /** 'stored' keeps the checkpoint's formats; the others requantise matrices while loading. */
  readonly weights?: WeightFormat;
  /** Longest context to allow, in tokens; the model's own by default. */
  readonly contextLength?: number;
  /** How cached keys and values are kept: 'f32' (default), or rounded to 'f16' or 'q8_0' in half or a quarter of the memory. */
  readonly kv?: KvFormat;
  readonly threads?: number;
  /** Lets the engine of WebAssembly fuse operations, which is experimental and checked first (Node 22 or newer). */
  readonly revectorize?: boolean;
  /**
   * Bytes that weights, cache and activations may take. Where they need more, experts and then whole
   * layers are streamed from the disk (wasm backend); what cannot work is refused at once. By default
   * what the backend can hold; beyond 4 GiB, no more than three quarters of the machine's memory.
   */
  readonly memory?: number;
  /** Hub branch, tag or commit. */
  readonly revision?: string;
  readonly onProgress?: (progress: (DownloadProgress & { phase: 'download' }) | (LoadProgress & { phase: 'load' })) => void;
  /** Things worth knowing that do not stop the load; printed with console.warn by default. */
  readonly onWarning?: (message: string) => void;
  readonly signal?: AbortSignal;
  /** False runs every step anew instead of replaying recorded ones. */
  readonly replay?: boolean;
}

export type { Prompt };

/**
 * Loads a model from a directory, a hub id (`owner/name`), a URL, or files.
 * Rejects with one line that says what is wrong and where.
 */
export async function loadModel(source: CheckpointSource, options: LoadOptions = {}): Promise<Model> {
  const { onPage, keepingHeapSmall = (body) => body() } = await platform();
  // What loading and running take would freeze a page: there a worker does it, behind the same interface.
  if (onPage) return (await import('./remote/page.js')).loadInWorker(source, options);
  const { onProgress, signal, revision } = options;
  const onWarning = options.onWarning ?? ((message: string) => console.warn(message));
  const directory = await resolveSource(source, { signal, revision, onWarning, onProgress: onProgress && ((p) => onProgress({ ...p, phase: 'download' })) });
  return keepingHeapSmall(() => open(directory, options, onWarning));
}

async function open(directory: Directory, options: LoadOptions, onWarning: (message: string) => void): Promise<Model> {
  const { onProgress, signal } = options;
  const checkpoint = await openCheckpoint(directory, { signal });
  let streams = false;
  try {
    const files = textFiles(directory);
    const tokenizer = await tokenizerFromFiles(files);
    const texts = await Promise.all(['config.json', 'generation_config.json'].map((name) => files.read(name)));
    const floats = texts[0] && new Set(texts.flatMap((bytes) => (bytes ? [...floatKeys(new TextDecoder().decode(bytes))] : [])));
    const backend = await createBackend(options.backend ?? 'auto', { threads: options.threads, revectorize: options.revectorize, onWarning });
    const engine = await Engine.open(checkpoint, backend, {
      ...options, onProgress: onProgress && ((p) => onProgress({ ...p, phase: 'load' })),
      onWarning,
    });
    streams = engine.residency?.kind === 'streamed';
    return new Model(engine, checkpoint.name, checkpoint.config, checkpoint.generationConfig, tokenizer, floats, streams ? () => checkpoint.close() : undefined);
  } finally {
    if (!streams) await checkpoint.close();
  }
}

export class Model {
  constructor(
    /** What runs the model: for tests, benchmarks and training. */
    readonly engine: Engine,
    readonly name: string,
    /** config.json as it is. */
    readonly config: Checkpoint['config'],
    private readonly generationConfig: Checkpoint['generationConfig'],
    /** Undefined where the checkpoint has none. */
    readonly tokenizer: Tokenizer | undefined,
    /** Keys of the config's files whose numbers are spelled as floats: `save` keeps them so. Without files: those read as such. */
    private readonly floatKeys?: ReadonlySet<string>,
    /** Closes the files that weights are streamed from. */
    private readonly closeFiles?: () => Promise<void>,
  ) {}

  get family(): string { return this.engine.family.name; }
  get backend(): string { return this.engine.device.backend.name; }
  /** How many threads compute; 1 where the backend has none of its own. */
  get threads(): number { return this.engine.device.backend.threads ?? 1; }
  /** Longest context, in tokens. */
  get contextLength(): number { return this.engine.runner.contextLength; }
  get vocabularySize(): number { return this.engine.decoder.frame.vocab; }
  /** Stored tensors that the model does not use (vision towers, masks, tied heads, MTP layers). */
  get skippedTensors(): readonly string[] { return this.engine.skipped; }

  /** Logits of every token of a fresh sequence, as [tokens, vocabulary]. */
  async logits(ids: readonly number[]): Promise<{ data: Float32Array; shape: [number, number] }> {
    if (ids.length === 0) throw new RangeError('the prompt is empty');
    const { runner } = this.engine;
    runner.checkTokens(ids);
    const data = new Float32Array(ids.length * this.vocabularySize);
    const sequence = runner.sequence();
    try {
      for (let at = 0; at < ids.length; at += LOGITS_TOKENS) {
        const [rows] = await runner.step([{ sequence, tokens: ids.slice(at, at + LOGITS_TOKENS), logits: 'all' }]);
        data.set(rows, at * this.vocabularySize);
      }
    } finally {
      sequence.dispose();
    }
    return { data, shape: [ids.length, this.vocabularySize] };
  }

  /** An empty sequence with a cache of its own: feed it with `step`, cut it with `truncate`, `dispose` it. */
  sequence(): Sequence {
    return this.engine.runner.sequence();
  }

  /**
   * Appends tokens to one or more sequences in a single pass over the weights; the logits come
   * back request by request ('last' by default: one row each).
   */
  step(requests: readonly StepRequest[]): Promise<Float32Array[]> {
    return this.engine.runner.step(requests);
  }

  /** Token ids of a prompt: text is encoded, a chat goes through the template, ids pass. */
  encode(prompt: Prompt): number[] {
    return promptIds(prompt, this.tokenizer, this.name);
  }

  /**
   * Continues a prompt, token by token. What is not given comes from generation_config.json, and
   * is greedy without one. The generator's return value says why it ended.
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): AsyncGenerator<Piece, FinishReason> {
    return generate(this.engine.runner, this.encode(prompt), this.tokenizer, this.endTokens, { ...this.defaults(), ...defined(options) });
  }

  /**
   * Continues many prompts, up to `parallel` of them in one pass over the weights, each until a stop
   * token or `maxTokens`. Completions come as they end, with the number of their prompt. Sampling is
   * greedy or by temperature; generation_config.json is not asked. See docs/sequences.md.
   */
  async *generateBatch(prompts: Iterable<Prompt>, options: BatchOptions = {}): AsyncGenerator<Completion & { readonly text?: string }, void> {
    for await (const completion of generateBatch(this.engine.runner, this.encodeAll(prompts), this.endTokens, options)) {
      yield this.tokenizer ? { ...completion, text: this.tokenizer.decode([...completion.tokens], { skipSpecialTokens: true }) } : completion;
    }
  }

  /** Tokens that end a turn: generation_config's, the config's, and those that the template implies. */
  get endTokens(): ReadonlySet<number> {
    const text = (this.config.text_config ?? {}) as Record<string, unknown>;
    const listed = [this.generationConfig?.eos_token_id, this.config.eos_token_id, text.eos_token_id].flat();
    const ids = listed.filter((id): id is number => Number.isInteger(id));
    return new Set([...ids, ...(this.tokenizer?.endOfTurnIds ?? [])]);
  }

  /**
   * Runs `ids` and returns what the named parts computed: 'embeddings' (what enters layer 0),
   * 'layers.N' (what block N returns), 'layers.N.<part>', 'norm', 'logits'. In `capture`, `*`
   * stands for one name and `**` for any number of them.
   */
  trace(ids: readonly number[], { capture = ['embeddings', 'layers.*', 'norm', 'logits'] }: { capture?: readonly string[] } = {}): Promise<Map<string, Traced>> {
    const patterns = capture.map(pathPattern);
    return this.engine.trace(ids, (path) => patterns.some((pattern) => pattern.test(path)));
  }

  /** Writes config.json, model.safetensors and the tokenizer's files, as transformers reads them. */
  async save(directory: string): Promise<void> {
    const { files } = await platform();
    if (!files) throw new Error('save needs a file system, which this platform does not have');
    const writer = await files.writeDirectory(directory);
    try {
      const json = (value: unknown) => new TextEncoder().encode(configText(value, this.floatKeys ?? this.engine.floatKeys));
      await writer.write('model.safetensors', saveWeights(this.engine.decoder));
      await writer.write('config.json', json(savedConfig(this.config, this.engine)));
      if (this.generationConfig) await writer.write('generation_config.json', json(this.generationConfig));
      for (const [name, bytes] of (await this.tokenizer?.originalFiles()) ?? []) await writer.write(name, bytes);
      await writer.commit();
    } catch (error) {
      await writer.discard();
      throw error;
    }
  }

  /** Frees weights, caches and the backend, once the step that is running has ended. */
  async dispose(): Promise<void> {
    await this.engine.runner.idle();
    this.engine.dispose();
    await this.closeFiles?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  private *encodeAll(prompts: Iterable<Prompt>): Generator<number[], void> {
    for (const prompt of prompts) yield this.encode(prompt);
  }

  private defaults(): GenerateOptions {
    const g = this.generationConfig ?? {};
    const number = (key: string) => (typeof g[key] === 'number' ? (g[key] as number) : undefined);
    const penalty = defined({ repetitionPenalty: number('repetition_penalty') });
    // Only a config that says it samples does; without a temperature of its own that is 1.
    if (g.do_sample !== true) return penalty;
    return { ...penalty, temperature: number('temperature') ?? 1, ...defined({ topK: number('top_k'), topP: number('top_p'), minP: number('min_p') }) };
  }
}

/** Without the keys whose value is undefined, so that defaults show through. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function pathPattern(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*\*|\*/g, (stars) => (stars === '**' ? '.+' : '[^.]+'));
  return new RegExp(`^${escaped}$`);
}
