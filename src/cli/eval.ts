// `lamella eval`: how well a model predicts a text, and how far its predictions are from another's: of
// the same checkpoint in another weight format, or of another model with the same vocabulary.

import type { Command } from 'commander';
import { Option } from 'commander';
import { backendNames } from '../engine/backends.js';
import type { BackendName } from '../engine/backends.js';
import { kvFormats } from '../engine/kv-format.js';
import type { KvFormat } from '../engine/kv-format.js';
import type { Evaluation } from '../generate/index.js';
import type { Model, Tokenizer, WeightFormat } from '../index.js';
import { interruptible, MEMORY_HELP, share, sourceOf } from './model-command.js';
import { percent, thousands } from './format.js';
import { printJson, warn } from './io.js';
import type { Io } from './io.js';
import { contextLength, memorySize, number } from './options.js';
import { meter } from './progress.js';
import { pairs } from './table.js';

const WEIGHTS = ['stored', 'f32', 'f16', 'q8_0', 'q4_0'] as const satisfies readonly WeightFormat[];

interface EvalOptions {
  readonly data: string;
  readonly against?: string;
  readonly context?: number;
  readonly maxTokens?: number;
  readonly weights: WeightFormat;
  readonly backend: BackendName | 'auto';
  readonly threads?: number;
  readonly revectorize?: true;
  readonly kv: KvFormat;
  readonly memory?: number;
  readonly revision?: string;
  readonly json?: true;
}

interface Evaluated extends Evaluation {
  readonly model: string;
  readonly weights: WeightFormat;
  readonly backend: string;
  readonly data: string;
  /** Tokens per window. */
  readonly context: number;
  readonly against?: { readonly model: string; readonly weights: WeightFormat };
  readonly seconds: number;
}

export function registerEval(program: Command, io: Io): void {
  program.command('eval')
    .description('measure how well a model predicts a text, and how far quantising moves its predictions')
    .argument('<model>', 'directory, .gguf file, hub id, web address or name of a published release')
    .requiredOption('--data <file>', 'the text, in UTF-8')
    .option('--against <format or model>', `the same checkpoint in ${WEIGHTS.join(', ')}, or another model with the same vocabulary`)
    .option('--context <tokens>', "tokens per window, each of which starts afresh (default: 512, or the model's context where that is less)", contextLength)
    .option('--max-tokens <n>', 'predict this many tokens at most (default: the whole text)', number({ least: 1, whole: true }))
    .addOption(new Option('--weights <format>', 'keep weights as they are stored, or requantise them while loading').choices(WEIGHTS).default('stored'))
    .addOption(new Option('--backend <name>', 'what computes').choices(['auto', ...backendNames]).default('auto'))
    .addOption(new Option('--kv <format>', 'keep keys and values as they are, or rounded in half or a quarter of the memory').choices(kvFormats).default('f32'))
    .option('--threads <n>', 'worker threads', number({ least: 1, most: 1024, whole: true }))
    .option('--revectorize', 'let WebAssembly use wider vectors: faster prompts, experimental, checked at start (Node 22 or newer)')
    .option('--memory <size>', MEMORY_HELP, memorySize)
    .option('--revision <name>', 'hub branch, tag or commit')
    .option('--json', 'print all figures as JSON')
    .addHelpText('after', `
Perplexity is e to the mean negative log-likelihood (NLL) per token; figures of models with different
tokenizers do not compare. The KL divergence is that of the model's predictions from those of the one
after --against, in nats per token; "same top token" is how often both would pick the same next.

Examples:
  $ lamella eval ./stories15M --data stories.txt --max-tokens 10000
  $ lamella eval ./my-model --data book.txt --weights q8_0 --against f32
  $ lamella eval my-model-q4_0.gguf --data book.txt --against ./my-model --json`)
    .action(async (model: string, options: EvalOptions) => {
      const result = await interruptible(io, (signal) => evaluateModel(model, options, io, signal));
      if (options.json) printJson(io, result);
      else io.stdout.write(`${resultLines(result).join('\n')}\n`);
    });
}

function resultLines({ model, weights, tokens, context, perplexity, meanNll, klDivergence, sameTopToken, against }: Evaluated): string[] {
  const name = (of: { model: string; weights: WeightFormat }) => `${of.model}${of.weights === 'stored' ? '' : ` in ${of.weights}`}`;
  return [name({ model, weights }), ...pairs([
    ['tokens', `${thousands(tokens)} in windows of ${thousands(context)}`],
    ['perplexity', perplexity.toPrecision(6)],
    ['mean NLL', `${meanNll.toFixed(5)} nats`],
    ...(against ? [
      ['KL divergence', `${klDivergence!.toPrecision(3)} nats from ${name(against)}`],
      ['same top token', percent(sameTopToken!, 1)],
    ] as const : []),
  ], '  ')];
}

async function evaluateModel(name: string, options: EvalOptions, io: Io, signal: AbortSignal): Promise<Evaluated> {
  const text = await readText(options.data);
  const { evaluate } = await import('../generate/index.js');
  const progress = meter(io);
  const loaded: Model[] = [];
  try {
    const open = async (source: string, weights: WeightFormat, kv: KvFormat) => {
      // A branch or commit is one of the model's own.
      const model = await load(source, { weights, kv }, source === name ? options : { ...options, revision: undefined }, io, signal, progress.show);
      loaded.push(model);
      return model;
    };
    const model = await open(name, options.weights, options.kv);
    const against = againstWhat(name, options.against);
    const other = against && await open(against.name, against.weights, 'f32');
    const window = options.context ?? Math.min(512, model.contextLength, other?.contextLength ?? Infinity);
    const ids = encodeBoth(model, other, text, options.maxTokens);
    const started = performance.now();
    const figures = await evaluate(model.engine.runner, ids, {
      window, maxTokens: options.maxTokens, against: other?.engine.runner, signal,
      onProgress: (done, total) => progress.show(`evaluating ${percent(done, total)} of ${thousands(total)} tokens`),
    });
    return {
      model: model.name, weights: options.weights, backend: model.backend, data: options.data, context: window, ...figures,
      ...(against && other ? { against: { model: other.name, weights: against.weights } } : {}), seconds: (performance.now() - started) / 1000,
    };
  } finally {
    for (const model of loaded) await model.dispose();
    progress.end();
  }
}

async function readText(path: string): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const bytes = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'ENOENT' ? 'there is no such file' : error.code === 'EISDIR' ? 'it is a directory' : error.message;
    throw new Error(`--data ${path}: ${reason}`, { cause: error });
  });
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Error(`--data ${path} is not text in UTF-8`, { cause: error });
  }
}

/** A format's name means the same checkpoint in that format. */
function againstWhat(model: string, against: string | undefined): { name: string; weights: WeightFormat } | undefined {
  if (against === undefined) return undefined;
  const format = WEIGHTS.find((each) => each === against);
  return format ? { name: model, weights: format } : { name: against, weights: 'stored' };
}

async function load(name: string, formats: { weights: WeightFormat; kv: KvFormat }, options: EvalOptions, io: Io, signal: AbortSignal, show: (text: string) => void): Promise<Model> {
  const { loadModel } = await import('../index.js');
  return loadModel(await sourceOf(name), {
    ...formats, backend: options.backend, threads: options.threads, revectorize: options.revectorize, memory: options.memory, contextLength: options.context, revision: options.revision, signal,
    onWarning: (message) => warn(io, message),
    onProgress: (p) => show(p.phase === 'download' ? `downloading ${p.file}: ${share(p.loaded, p.total)}` : `loading ${name} ${share(p.loaded, p.total)}`),
  });
}

/** The text as ids, which must be the same for both models: distributions over different tokens do not compare. */
function encodeBoth(model: Model, other: Model | undefined, text: string, maxTokens: number | undefined): number[] {
  const tokenizer = model.tokenizer ?? other?.tokenizer;
  if (!tokenizer) throw new Error(`${model.name} has no tokenizer, which a text needs`);
  const ids = encodeStart(tokenizer, text, maxTokens);
  if (!other) return ids;
  if (other.vocabularySize !== model.vocabularySize) throw new Error(`${other.name} has ${thousands(other.vocabularySize)} tokens and ${model.name} ${thousands(model.vocabularySize)}: --against needs a model with the same vocabulary`);
  if (!model.tokenizer || !other.tokenizer) return ids;
  const theirs = encodeStart(other.tokenizer, text, maxTokens);
  const at = ids.findIndex((id, i) => id !== theirs[i]);
  if (at >= 0 || theirs.length !== ids.length) throw new Error(`${other.name} and ${model.name} encode the text differently, from token ${at < 0 ? ids.length : at} on: --against needs a model with the same vocabulary`);
  return ids;
}

/** Characters per token that a first try reckons with: English has about four. */
const CHARACTERS_PER_TOKEN = 8;

/**
 * The first `maxTokens` + 1 ids of a text (the first one is given, not predicted), without encoding
 * megabytes that nobody asked for. What is cut off is some thousand characters away from the last id.
 */
function encodeStart(tokenizer: Tokenizer, text: string, maxTokens = Infinity): number[] {
  for (let length = CHARACTERS_PER_TOKEN * (maxTokens + 1) + 4096; ; length *= 2) {
    const part = length < text.length ? text.slice(0, length) : text;
    const ids = tokenizer.encode(part);
    if (part.length === text.length || ids.length > maxTokens + 1 + 1024) return ids.slice(0, maxTokens === Infinity ? undefined : maxTokens + 1);
  }
}
