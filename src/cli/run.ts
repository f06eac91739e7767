// `lamella run`: continue a text, or chat.

import type { Command } from 'commander';
import { Option } from 'commander';
import type { GenerateOptions, LoadOptions, Model, WeightFormat } from '../index.js';
import { backendNames } from '../engine/backends.js';
import type { BackendName } from '../engine/backends.js';
import { kvFormats } from '../engine/kv-format.js';
import type { KvFormat } from '../engine/kv-format.js';
import { Exit, INTERRUPTED, printJson, UsageError, warn } from './io.js';
import type { Io } from './io.js';
import { isBareName, MEMORY_HELP, share, sourceOf } from './model-command.js';
import { contextLength, memorySize, number, several } from './options.js';
import { meter } from './progress.js';

export interface RunOptions {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: true;
  readonly backend: BackendName | 'auto';
  readonly weights: WeightFormat;
  readonly kv: KvFormat;
  readonly threads?: number;
  readonly revectorize?: true;
  readonly memory?: number;
  readonly context?: number;
  readonly revision?: string;
  readonly chat?: true;
  readonly raw?: true;
  readonly json?: true;
}

const WEIGHTS = ['stored', 'f32', 'f16', 'q8_0', 'q4_0'] as const satisfies readonly WeightFormat[];

export function registerRun(program: Command, io: Io): void {
  program.command('run')
    .description('continue a text, or chat when no prompt is given')
    .argument('<model>', 'directory, .gguf file, hub id, web address or name of a published release')
    .argument('[prompt]', 'the text to continue; - reads it from standard input, less its last line break')
    .option('--max-tokens <n>', 'end after this many tokens (default: when the model ends, or the context is full)', number({ least: 0, whole: true }))
    .option('--temperature <t>', '0 takes the likeliest token (default: what the checkpoint recommends, else 0)', number({ least: 0, most: 100 }))
    .option('--top-k <k>', 'choose among the k likeliest tokens; 0: all', number({ least: 0, most: 2 ** 31, whole: true }))
    .option('--top-p <p>', 'choose among the likeliest tokens whose probabilities sum to p', number({ least: 0, most: 1 }))
    .option('--min-p <p>', 'choose among tokens at least p times as likely as the likeliest', number({ least: 0, most: 1 }))
    .option('--repetition-penalty <r>', 'make tokens that were there less likely; 1: not', number({ least: 1e-6, most: 100 }))
    .option('--seed <n>', 'same seed, same text', number({ least: 0, most: 2 ** 32 - 1, whole: true }))
    .option('--stop <text>', 'end before this text; may be given several times', several)
    .option('--ignore-eos', "go on past the model's end-of-turn tokens")
    .addOption(new Option('--backend <name>', 'what computes').choices(['auto', ...backendNames]).default('auto'))
    .addOption(new Option('--weights <format>', 'keep weights as they are stored, or requantise them while loading').choices(WEIGHTS).default('stored'))
    .addOption(new Option('--kv <format>', 'keep keys and values as they are, or rounded in half or a quarter of the memory').choices(kvFormats).default('f32'))
    .option('--threads <n>', 'worker threads', number({ least: 1, most: 1024, whole: true }))
    .option('--revectorize', 'let WebAssembly use wider vectors: faster prompts, experimental, checked at start (Node 22 or newer)')
    .option('--memory <size>', MEMORY_HELP, memorySize)
    .option('--context <tokens>', "longest context (default: the model's own)", contextLength)
    .option('--revision <name>', 'hub branch, tag or commit')
    .option('--chat', "put the prompt through the model's chat template")
    .option('--raw', 'without a prompt: continue texts instead of chatting')
    .option('--json', 'print text, tokens and timings as JSON when done')
    .addHelpText('after', `
Prints the continuation only, as it comes. A prompt is continued as it stands, even by a model made
for chats: --chat asks it as a user would. Without a prompt, in a terminal, a chat begins (with a
model that has no chat template, a text that both go on writing): /reset forgets, /exit ends.
Ctrl-C ends with exit code 130 and what was written until then.

Examples:
  $ lamella run ./stories15M "Once upon a time" --max-tokens 96 --temperature 0
  $ lamella run smollm3-3b "Why is the sky blue?" --chat
  $ lamella run Qwen/Qwen3-0.6B
  $ git diff | lamella run ./my-model - --max-tokens 50 --json`)
    .action((model: string, prompt: string | undefined, options: RunOptions) => run(model, prompt, options, io));
}

async function run(name: string, prompt: string | undefined, options: RunOptions, io: Io): Promise<void> {
  const interactive = prompt === undefined;
  if (interactive && options.json) throw new UsageError('--json needs a prompt');
  if (interactive && options.chat) throw new UsageError('--chat is for a prompt: without one, a model with a chat template chats');
  if (!interactive && options.raw) throw new UsageError('--raw is for chats: a prompt is continued as it stands unless --chat is given');
  if (interactive && !(io.stdin.isTTY && io.stdout.isTTY)) throw new UsageError('no prompt: give one, or - to read it from standard input');
  const text = prompt === '-' ? await readAll(io) : prompt;
  if (text === '') throw new Error('the prompt is empty');

  const interrupted = new AbortController();
  let presses = 0;
  const restore = io.onInterrupt(() => {
    // A second Ctrl-C does not wait for a step that takes long.
    if (++presses > 1 && !interactive) process.exit(INTERRUPTED);
    interrupted.abort();
  });
  try {
    const started = performance.now();
    const model = await load(name, options, io, interrupted.signal);
    try {
      if (text !== undefined) return await answer(model, text, performance.now() - started, options, io, interrupted.signal);
      restore();
      const { chat } = await import('./chat.js');
      await chat(model, generateOptions(options), { io, raw: options.raw === true });
    } finally {
      await model.dispose();
    }
  } catch (error) {
    throw interrupted.signal.aborted ? new Exit(INTERRUPTED) : error;
  } finally {
    restore();
  }
}

async function readAll({ stdin }: Io): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Buffer | string));
  return Buffer.concat(chunks).toString('utf8').replace(/\r?\n$/, '');
}

async function load(name: string, options: RunOptions, io: Io, signal: AbortSignal): Promise<Model> {
  const { loadModel } = await import('../index.js');
  const progress = meter(io);
  const loadOptions: LoadOptions = {
    backend: options.backend, weights: options.weights, kv: options.kv, threads: options.threads, revectorize: options.revectorize, memory: options.memory, contextLength: options.context, revision: options.revision, signal,
    onWarning: (message) => { progress.end(); warn(io, message); },
    onProgress: (p) => progress.show(p.phase === 'download'
      ? `downloading ${p.file}: ${share(p.loaded, p.total)}`
      : `loading ${share(p.loaded, p.total)}`),
  };
  try {
    return await loadModel(await sourceOf(name), loadOptions);
  } catch (error) {
    throw await withNearNames(name, error);
  } finally {
    progress.end();
  }
}

/** A name that nothing answers to may be a mistyped one. */
async function withNearNames(name: string, error: unknown): Promise<unknown> {
  const { similarPublished, findPublished } = await import('../models/published.js');
  const near = isBareName(name) && !findPublished(name) ? similarPublished(name) : [];
  if (near.length === 0 || !(error instanceof Error) || error.name !== 'CheckpointError') return error;
  return new Error(`${error.message} (published releases near it: ${near.join(', ')})`, { cause: error });
}

export function generateOptions(options: RunOptions): GenerateOptions {
  const { maxTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop, ignoreEos } = options;
  return { maxTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop, ignoreEos };
}

async function answer(model: Model, text: string, loadMs: number, options: RunOptions, io: Io, signal: AbortSignal): Promise<void> {
  const prompt = model.encode(options.chat ? [{ role: 'user', content: text }] : text);
  const started = performance.now();
  let [first, last] = [NaN, NaN];
  let written = '';
  const tokens: number[] = [];
  const pieces = model.generate(prompt, { ...generateOptions(options), signal });
  let next = await pieces.next();
  for (; !next.done; next = await pieces.next()) {
    last = performance.now();
    if (tokens.length === 0) first = last;
    tokens.push(next.value.token);
    written += next.value.text;
    if (!options.json) io.stdout.write(next.value.text);
  }
  if (options.json) {
    const timings = { loadMs, promptTokensPerSecond: perSecond(prompt.length, first - started), tokensPerSecond: perSecond(tokens.length - 1, last - first) };
    printJson(io, { text: written, tokens, promptTokens: prompt.length, finishReason: next.value, timings });
  } else if (io.stdout.isTTY && !written.endsWith('\n')) {
    // The shell's prompt gets a line of its own; a pipe gets the text as it is.
    io.stdout.write('\n');
  }
  if (signal.aborted) throw new Exit(INTERRUPTED);
}

/** Null where too little was done to tell. */
function perSecond(tokens: number, milliseconds: number): number | null {
  return tokens > 0 && milliseconds > 0 ? (tokens * 1000) / milliseconds : null;
}
