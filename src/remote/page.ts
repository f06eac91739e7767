// A model that runs in a worker, as a page holds it: the same calls, answered by `worker.ts`. The
// page's own thread only passes messages on, whatever the model does: reading files, requantising,
// computing, choosing tokens. One worker per model, so that disposing of it frees everything.

import type { CheckpointSource } from '../checkpoint/index.js';
import type { Sequence, StepRequest, Traced } from '../engine/index.js';
import type { FinishReason, GenerateOptions, Piece } from '../generate/index.js';
import type { LoadOptions, Model, Prompt } from '../model.js';
import { topFiles } from '../platform/index.js';
import { promptIds, tokenizerFromLoaded } from '../tokenizer/index.js';
import type { Tokenizer } from '../tokenizer/index.js';
import { revivedError } from './protocol.js';
import type { Call, FromWorker, LoadedFacts, PageSource } from './protocol.js';

/** Pieces asked for before they are wanted: a step need not wait for the page to have shown the last one. */
const PIECES_AHEAD = 3;

/** Loads a model in a worker of its own. Aborting ends the worker, and with it whatever it was doing. */
export async function loadInWorker(source: CheckpointSource, { signal, onProgress, onWarning, ...options }: LoadOptions): Promise<Model> {
  signal?.throwIfAborted();
  const files = sendable(source);
  const worker = new ModelWorker(onProgress, onWarning ?? ((message) => console.warn(message)));
  const abort = () => worker.end(signal!.reason);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return modelOf(worker, await worker.call<LoadedFacts>({ method: 'load', source: files, options }));
  } catch (error) {
    worker.failed(error);
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
  }
}

/** What a worker can be given. A picked folder loses its structure on the way, so it is looked at here. */
function sendable(source: CheckpointSource): PageSource {
  if (typeof source === 'string') return source;
  if (source instanceof Blob) return [source];
  if ('open' in source && 'list' in source) throw new TypeError('a page can load a URL, a hub id or files; a Directory object works within a worker of your own');
  return topFiles(Array.from(source));
}

interface Waiting { resolve(value: unknown): void; reject(error: unknown): void }

/** The page's end of the line. */
class ModelWorker {
  // Bundlers find the script by this very expression.
  private readonly worker = new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'lamella' });
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private ended: { readonly reason: unknown } | undefined;

  constructor(private readonly onProgress: LoadOptions['onProgress'], private readonly onWarning: (message: string) => void) {
    this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.hear(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.end(new Error(event.message ? `the model's worker failed: ${event.message}` : "the model's worker could not start: its script (worker.js) must lie beside the library's on the same server"));
    };
  }

  call<T>(call: Call): Promise<T> {
    return this.start(call).answer as Promise<T>;
  }

  /** As `call`, with the id that later messages may name. */
  start(call: Call): { id: number; answer: Promise<unknown> } {
    if (this.ended) return { id: 0, answer: Promise.reject(this.ended.reason) };
    const id = this.nextId++;
    const answer = new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ ...call, id });
    });
    return { id, answer };
  }

  abort(generator: number): void {
    if (!this.ended) this.worker.postMessage({ method: 'abort', generator });
  }

  /** Ends the worker and all of its threads; what is waiting, and every later call, rejects with the reason. */
  end(reason: unknown): void {
    if (this.stop(reason)) this.worker.terminate();
  }

  /**
   * As `end`, after a load that failed. Such a worker has just ended its own threads, and Chromium
   * (seen in 156) never lets go of a worker that is ended before they are: it gets a moment.
   */
  failed(reason: unknown): void {
    if (this.stop(reason)) setTimeout(() => this.worker.terminate(), 1000);
  }

  private stop(reason: unknown): boolean {
    if (this.ended) return false;
    this.ended = { reason };
    for (const { reject } of this.waiting.values()) reject(reason);
    this.waiting.clear();
    return true;
  }

  private hear(message: FromWorker): void {
    switch (message.kind) {
      case 'progress': this.onProgress?.(message.progress); return;
      case 'warning': this.onWarning(message.message); return;
      case 'result': this.settle(message.id)?.resolve(message.value); return;
      case 'failure': this.settle(message.id)?.reject(revivedError(message.error)); return;
      default: message satisfies never;
    }
  }

  private settle(id: number): Waiting | undefined {
    const found = this.waiting.get(id);
    this.waiting.delete(id);
    return found;
  }
}

/** Everything of a Model but its engine, which is elsewhere. */
type Remote = { [Key in keyof Model]: Model[Key] };

class RemoteModel implements Remote {
  readonly name: string;
  readonly family: string;
  readonly backend: string;
  readonly threads: number;
  readonly config: Model['config'];
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly skippedTensors: readonly string[];
  readonly endTokens: ReadonlySet<number>;
  /** Built when something of it is first used, because that takes a moment of the page's time. */
  readonly tokenizer: Tokenizer | undefined;

  constructor(private readonly worker: ModelWorker, { tokenizerFiles, ...facts }: LoadedFacts) {
    ({ name: this.name, family: this.family, backend: this.backend, threads: this.threads, config: this.config, contextLength: this.contextLength } = facts);
    ({ vocabularySize: this.vocabularySize, skippedTensors: this.skippedTensors, endTokens: this.endTokens } = facts);
    this.tokenizer = tokenizerFiles && onUse(() => tokenizerFromLoaded({ name: this.name, contents: tokenizerFiles })!);
  }

  get engine(): never { return elsewhere('engine'); }
  generateBatch(): never { return elsewhere('generateBatch()'); }
  sequence(): Sequence { return elsewhere('sequence()'); }
  async step(_requests: readonly StepRequest[]): Promise<Float32Array[]> { return elsewhere('step()'); }

  async logits(ids: readonly number[]): Promise<{ data: Float32Array; shape: [number, number] }> {
    return this.worker.call({ method: 'logits', ids: [...ids] });
  }

  async trace(ids: readonly number[], { capture }: { capture?: readonly string[] } = {}): Promise<Map<string, Traced>> {
    return this.worker.call({ method: 'trace', ids: [...ids], capture });
  }

  encode(prompt: Prompt): number[] {
    return promptIds(prompt, this.tokenizer, this.name);
  }

  async* generate(prompt: Prompt, { signal, ...options }: GenerateOptions = {}): AsyncGenerator<Piece, FinishReason> {
    const { id, answer } = this.worker.start({ method: 'generate', prompt, options });
    const abort = () => this.worker.abort(id);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    const asked: Promise<IteratorResult<Piece, FinishReason>>[] = [];
    const ask = () => {
      const next = this.worker.call<IteratorResult<Piece, FinishReason>>({ method: 'next', generator: id });
      // One that nobody waits for any more may fail unheard.
      next.catch(() => undefined);
      asked.push(next);
    };
    try {
      await answer;
      for (let i = 0; i < PIECES_AHEAD; i++) ask();
      for (;;) {
        const result = await asked.shift()!;
        if (result.done) return result.value;
        ask();
        yield result.value;
      }
    } finally {
      signal?.removeEventListener('abort', abort);
      abort();
    }
  }

  async save(_directory: string): Promise<void> {
    throw new Error('save needs a file system, which a page does not have');
  }

  /** Frees weights, caches and threads by ending the worker that has them. */
  async dispose(): Promise<void> {
    this.worker.end(new Error('the model was disposed'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }
}

/** It has all of a Model's public members; TypeScript also asks for the private ones of the class. */
const modelOf = (worker: ModelWorker, facts: LoadedFacts): Model => new RemoteModel(worker, facts) as Remote as unknown as Model;

function elsewhere(member: string): never {
  throw new Error(`a model that a page has loaded runs in a worker, and ${member} with it; call loadModel within a worker of your own to use it`);
}

/** A tokenizer that is made when it is needed. */
function onUse(make: () => Tokenizer): Tokenizer {
  let made: Tokenizer | undefined;
  return new Proxy({} as Tokenizer, {
    get(_, key) {
      const tokenizer = (made ??= make());
      const value: unknown = Reflect.get(tokenizer, key);
      return typeof value === 'function' ? value.bind(tokenizer) : value;
    },
  });
}
