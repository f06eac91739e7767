// `lamella bench`: how fast a model runs here, from a checkpoint or with random weights of a published
// shape. Speed does not depend on what the weights are, only on their shapes and format.

import type { Command } from 'commander';
import { Option } from 'commander';
import { backendNames } from '../engine/backends.js';
import type { BackendName } from '../engine/backends.js';
import { kvFormats } from '../engine/kv-format.js';
import type { KvFormat } from '../engine/kv-format.js';
import type { Engine, SyntheticFormat } from '../engine/index.js';
import type { BenchmarkResult } from '../generate/index.js';
import type { WeightFormat } from '../index.js';
import type { Backend } from '../tensor/index.js';
import { interruptible, MEMORY_HELP, share, sourceOf } from './model-command.js';
import { bytes, thousands } from './format.js';
import { printJson, UsageError, warn } from './io.js';
import type { Io } from './io.js';
import { memorySize, number } from './options.js';
import { meter } from './progress.js';
import { pairs } from './table.js';

const WEIGHTS = ['stored', 'f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const;
type Weights = (typeof WEIGHTS)[number];

interface BenchOptions {
  readonly backend: BackendName | 'auto';
  readonly threads?: number;
  readonly revectorize?: true;
  readonly kv: KvFormat;
  readonly memory?: number;
  readonly prompt?: number;
  readonly generate?: number;
  readonly sequences: number;
  readonly runs: number;
  readonly weights: Weights;
  readonly layers?: number;
  readonly revision?: string;
  readonly json?: true;
}

/** Of several runs. */
interface Spread { readonly median: number; readonly least: number; readonly most: number }

interface Benched {
  readonly model: string;
  /** Random weights. */
  readonly synthetic: boolean;
  readonly weights: Weights;
  readonly layers: { readonly run: number; readonly published: number };
  readonly backend: string;
  /** Null where the backend has none. */
  readonly threads: number | null;
  readonly machine: { readonly node: string; readonly cpu: string; readonly cores: number };
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly sequences: number;
  /** Tokens per second. */
  readonly prefill: Spread;
  readonly decode: Spread;
  readonly runs: readonly { readonly prefill: number; readonly decode: number }[];
  readonly weightBytes: number;
  /** What a decode step of one sequence reads of them. */
  readonly weightBytesPerToken: number;
  /** Reading the weights (or making them up) and placing them; not a download. */
  readonly loadMs: number;
}

export function registerBench(program: Command, io: Io): void {
  program.command('bench')
    .description('measure how fast a model runs here, also without its weights')
    .argument('<model>', 'directory, .gguf file, hub id, web address, name of a published release; synthetic:<release> takes random weights')
    .addOption(new Option('--backend <name>', 'what computes').choices(['auto', ...backendNames]).default('auto'))
    .addOption(new Option('--kv <format>', 'keep keys and values as they are, or rounded in half or a quarter of the memory').choices(kvFormats).default('f32'))
    .option('--threads <n>', 'worker threads', number({ least: 1, most: 1024, whole: true }))
    .option('--revectorize', 'let WebAssembly use wider vectors: faster prompts, experimental, checked at start (Node 22 or newer)')
    .option('--memory <size>', MEMORY_HELP, memorySize)
    .option('--prompt <tokens>', 'prompt tokens (default: 512, or what the context has room for)', number({ least: 1, most: 2 ** 24, whole: true }))
    .option('--generate <tokens>', 'tokens decoded after it (default: 64, or a quarter of the context)', number({ least: 1, most: 2 ** 24, whole: true }))
    .option('--sequences <n>', 'sequences decoded together', number({ least: 1, most: 1024, whole: true }), 1)
    .option('--runs <n>', 'runs that count; one before them does not', number({ least: 1, most: 1000, whole: true }), 3)
    .addOption(new Option('--weights <format>', 'keep weights as they are stored (synthetic: as they are published), or take another format').choices(WEIGHTS).default('stored'))
    .option('--layers <n>', 'run the first n layers only', number({ least: 1, most: 1024, whole: true }))
    .option('--revision <name>', 'hub branch, tag or commit')
    .option('--json', 'print all figures as JSON')
    .addHelpText('after', `
Prefill is the prompt of one sequence; decoding counts the tokens of all sequences. Both are medians
of the runs, with the slowest and the fastest. With --layers the figures are those of a smaller model:
they show what a layer costs on a machine that is too small for all of them.

Examples:
  $ lamella bench ./stories15M
  $ lamella bench synthetic:qwen3-0.6b --weights q8_0 --threads 2
  $ lamella bench synthetic:qwen3-30b-a3b --layers 4 --weights q8_0 --prompt 64 --json`)
    .action(async (model: string, options: BenchOptions) => {
      const result = await interruptible(io, (signal) => bench(model, options, io, signal));
      if (options.json) printJson(io, result);
      else io.stdout.write(`${resultLines(result).join('\n')}\n`);
    });
}

function resultLines(b: Benched): string[] {
  const speed = ({ median, least, most }: Spread, tokens: string) => `${rate(median)} tok/s (${rate(least)} to ${rate(most)}), ${tokens}`;
  const cut = b.layers.run < b.layers.published ? `, the first ${b.layers.run} of its ${b.layers.published} layers only` : '';
  const together = b.sequences > 1 ? ` for each of ${b.sequences} sequences together` : '';
  const counted = b.runs.length === 1 ? 'one run' : `${b.runs.length} runs`;
  return [
    `${b.model}${b.synthetic ? ', random weights' : ''}${cut}`,
    ...pairs([
      ['prefill', speed(b.prefill, `${thousands(b.promptTokens)} tokens`)],
      ['decode', speed(b.decode, `${thousands(b.generatedTokens)} tokens${together}`)],
      ['weights', `${bytes(b.weightBytes)} ${b.weights === 'stored' ? `as ${b.synthetic ? 'published' : 'stored'}` : `in ${b.weights}`}, ${bytes(b.weightBytesPerToken)} read per token`],
      ['load', `${(b.loadMs / 1000).toFixed(2)} s`],
      ['backend', `${b.backend}${b.threads === null ? '' : `, ${b.threads} thread${b.threads === 1 ? '' : 's'}`}`],
      ['machine', `${b.machine.cpu}, ${b.machine.cores} cores, Node ${b.machine.node}`],
      ['counted', `${counted}; one before did not count`],
    ], '  '),
  ];
}

const rate = (value: number): string => value.toPrecision(value >= 1000 ? 4 : 3).replace(/e\+.*/, '');

async function bench(name: string, options: BenchOptions, io: Io, signal: AbortSignal): Promise<Benched> {
  const { benchmark } = await import('../generate/index.js');
  const { availableParallelism, cpus } = await import('node:os');
  const progress = meter(io);
  try {
    const opened = await open(name, options, io, signal, progress.show);
    const { engine, loadMs } = opened;
    try {
      const { contextLength } = engine.runner;
      const generate = options.generate ?? Math.min(64, Math.max(1, Math.floor(contextLength / 4)));
      const prompt = options.prompt ?? Math.max(1, Math.min(512, contextLength - generate - 1));
      const measure = { prompt, generate, sequences: options.sequences, signal };
      progress.show('warming up');
      await benchmark(engine.runner, { ...measure, generate: Math.min(8, generate) });
      const runs: BenchmarkResult[] = [];
      while (runs.length < options.runs) {
        progress.show(`run ${runs.length + 1} of ${options.runs}`);
        runs.push(await benchmark(engine.runner, measure));
      }
      return {
        model: opened.model, synthetic: opened.synthetic, weights: options.weights, layers: opened.layers,
        backend: engine.device.backend.name, threads: (engine.device.backend as { threads?: number }).threads ?? null,
        machine: { node: process.version, cpu: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
        promptTokens: prompt, generatedTokens: generate, sequences: options.sequences,
        prefill: spread(runs.map((run) => run.prefill)), decode: spread(runs.map((run) => run.decode)),
        runs: runs.map(({ prefill, decode }) => ({ prefill, decode })), ...await weightBytes(engine, opened.config), loadMs,
      };
    } finally {
      engine.dispose();
      await opened.close();
    }
  } finally {
    progress.end();
  }
}

function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return { median: sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2, least: sorted[0], most: sorted.at(-1)! };
}

interface Opened {
  readonly engine: Engine;
  readonly config: Record<string, unknown>;
  readonly model: string;
  readonly synthetic: boolean;
  readonly layers: Benched['layers'];
  readonly loadMs: number;
  /** The files, which weights may be streamed from. */
  close(): Promise<void>;
}

const SYNTHETIC = 'synthetic:';

async function open(name: string, options: BenchOptions, io: Io, signal: AbortSignal, show: (text: string) => void): Promise<Opened> {
  const { createBackend } = await import('../engine/index.js');
  const backend = () => createBackend(options.backend, { threads: options.threads, revectorize: options.revectorize });
  if (name.startsWith(SYNTHETIC)) return openSynthetic(name.slice(SYNTHETIC.length), options, backend);
  return openCheckpointOf(name, options, backend, io, signal, show);
}

async function openCheckpointOf(name: string, options: BenchOptions, backend: () => Promise<Backend>, io: Io, signal: AbortSignal, show: (text: string) => void): Promise<Opened> {
  const { openCheckpoint, resolveSource } = await import('../checkpoint/index.js');
  const { Engine } = await import('../engine/index.js');
  const directory = await resolveSource(await sourceOf(name), { signal, revision: options.revision, onProgress: (p) => show(`downloading ${p.file}: ${share(p.loaded, p.total)}`) });
  const checkpoint = await openCheckpoint(directory, { signal });
  try {
    const { config, layers } = withLayers(checkpoint.config, options.layers);
    const started = performance.now();
    const engine = await Engine.open({ ...checkpoint, config }, await backend(), {
      // The loader encodes every plain type, bf16 too, though its option does not list it.
      weights: options.weights as WeightFormat, kv: options.kv, memory: options.memory, signal,
      onWarning: (message) => warn(io, message),
      onProgress: (p) => show(`loading ${share(p.loaded, p.total)}`),
    });
    return { engine, config, model: checkpoint.name, synthetic: false, layers, loadMs: performance.now() - started, close: () => checkpoint.close() };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function openSynthetic(name: string, options: BenchOptions, create: () => Promise<Backend>): Promise<Opened> {
  const { findPublished, similarPublished } = await import('../models/published.js');
  if (options.memory !== undefined) throw new UsageError('--memory is for checkpoints: random weights are all made in memory');
  if (options.revision !== undefined) throw new UsageError('--revision is for the hub, and synthetic: takes built-in configs');
  const release = findPublished(name);
  if (!release) {
    const near = similarPublished(name);
    throw new Error(`no published release is called '${name}'${near.length > 0 ? `; near it are ${near.join(', ')}` : ''}`);
  }
  const { config, layers } = withLayers(release.config, options.layers);
  const { HfConfig } = await import('../models/index.js');
  const { syntheticEngine } = await import('../engine/synthetic.js');
  const format = options.weights === 'stored' ? publishedFormat(new HfConfig(config, release.name).dtype) : options.weights;
  const started = performance.now();
  const engine = await syntheticEngine(config, await create(), format, { kv: options.kv });
  return { engine, config, model: release.name, synthetic: true, layers, loadMs: performance.now() - started, close: async () => {} };
}

/** FP8 and packed releases are made up in bf16: their blocks have no random counterpart. */
function publishedFormat(dtype: string | undefined): SyntheticFormat {
  return ({ float32: 'f32', float16: 'f16' } as const)[dtype as 'float32'] ?? 'bf16';
}

/** A config for the first layers alone; what it lists layer by layer is cut too. */
export function withLayers(config: Readonly<Record<string, unknown>>, wanted: number | undefined): { config: Record<string, unknown>; layers: Benched['layers'] } {
  const text = (config.text_config ?? config) as Record<string, unknown>;
  const key = 'n_layer' in text ? 'n_layer' : 'num_hidden_layers';
  const published = Number(text[key]);
  const run = wanted ?? published;
  if (run > published) throw new Error(`the model has ${published} layers, fewer than --layers ${run}`);
  const cut = Object.fromEntries(Object.entries(text).map(([name, value]) => [name, name === key ? run : Array.isArray(value) && value.length === published ? value.slice(0, run) : value]));
  return { config: wanted === undefined ? { ...config } : config.text_config ? { ...config, text_config: cut } : cut, layers: { run, published } };
}

/** Bytes of all weights, and of those that one token's pass reads: k of E experts, one row of an embedding table. */
async function weightBytes(engine: Engine, config: Record<string, unknown>): Promise<Pick<Benched, 'weightBytes' | 'weightBytesPerToken'>> {
  const { execution } = await import('../analysis/execute.js');
  const { countParameters } = await import('../analysis/parameters.js');
  const { buildModel } = await import('../models/index.js');
  const { storedParts } = await import('../engine/index.js');
  const { byteLength } = await import('../tensor/index.js');
  const specs = new Map([...storedParts(engine.decoder).values()].flat().map(({ parameter: { path, tensor } }) => [path, tensor.spec]));
  const { decoder } = buildModel(config);
  const run = execution(decoder, ({ path }) => specs.get(path)!);
  const sums = { weightBytes: 0, weightBytesPerToken: 0 };
  for (const { parameter, part, total, active } of countParameters(run, run.decode(1, 1))) {
    const size = byteLength(specs.get(parameter.path)!);
    const oneRow = part === 'positions' || (part === 'embedding' && !decoder.frame.tied);
    sums.weightBytes += size;
    sums.weightBytesPerToken += oneRow ? size / parameter.shape[0] : (size * active) / total;
  }
  return sums;
}
