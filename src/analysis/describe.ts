// One model's figures: parameters, memory, arithmetic and what each layer is, all derived from the
// definition that runs, by running it on shapes alone.

import type { StoredTensor } from '../checkpoint/index.js';
import { planBinding } from '../engine/weights.js';
import type { WeightFormat as WeightsAs } from '../engine/weights.js';
import { buildModel, ConfigError } from '../models/index.js';
import type { HfConfig } from '../models/index.js';
import type { Decoder, Parameter } from '../nn/index.js';
import { byteLength, elementCount } from '../tensor/index.js';
import type { Spec } from '../tensor/index.js';
import { costOf, execution } from './execute.js';
import type { PassCost } from './execute.js';
import { bytesByFormat } from './formats.js';
import type { FormatBytes, KvPrecision, WeightFormat } from './formats.js';
import { describeLayers, ropeRules } from './layers.js';
import type { LayerDescription } from './layers.js';
import { kvBytes, kvKinds } from './memory.js';
import type { KvKind } from './memory.js';
import { countParameters } from './parameters.js';
import { forecastMemory, formatReplacements } from './residency.js';
import type { MemoryForecast } from './residency.js';
import type { PartName, ParameterCount } from './parameters.js';
import { openSource } from './source.js';
import type { DescribeSource, OpenSourceOptions } from './source.js';

export interface DescribeOptions extends OpenSourceOptions {
  /** Tokens of context that memory and arithmetic are given for: 8192, or the model's longest where that is less. Learned positions are never exceeded. */
  readonly context?: number;
  /** Sequences in the decode step; 1 by default. */
  readonly batch?: number;
  /** Bytes that running it may take: says what loading would do. */
  readonly memory?: number;
  /** The format that `memory` is asked for: 'stored' by default, which is bf16 without a checkpoint. */
  readonly weights?: WeightsAs;
}

export interface Description {
  readonly family: string;
  readonly name: string;
  readonly parameters: {
    readonly total: number;
    /** Used by the pass of one token, embedding and head included. */
    readonly active: number;
    /** In the checkpoint's files, scales of quantised weights not counted; null without a checkpoint. */
    readonly stored: number | null;
    readonly byPart: Readonly<Partial<Record<PartName, number>>>;
  };
  /** Bytes of the weights: as the checkpoint binds them, in bf16 without one. */
  readonly weightBytes: number;
  /** All weights in each format, and how many parameters it quantises. */
  readonly weightFormats: Readonly<Record<WeightFormat, FormatBytes>>;
  /** bf16, before any window takes effect. */
  readonly kvBytesPerToken: number;
  /** Longest context the model was made for, in tokens. */
  readonly contextLength: number;
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  /** Rows of the learned position table; null: none. */
  readonly learnedPositions: number | null;
  /** The head is the embedding table. */
  readonly tiedHead: boolean;
  /** What the next figures are for. */
  readonly context: number;
  readonly batch: number;
  /** bf16 bytes that one sequence keeps at `context` and at the longest context, windows taken into account. */
  readonly kvAtContext: number;
  readonly kvAtContextLength: number;
  /** The cache of one sequence by kind of layer and precision, at `context`. */
  readonly kvByKind: readonly KvKind[];
  /** One token for each of `batch` sequences of `context` tokens. */
  readonly decode: PassCost;
  /** The first `context` tokens of one sequence, logits for the last. */
  readonly prefill: PassCost;
  readonly layers: readonly LayerDescription[];
  /** Stored and not used, by name. */
  readonly skippedTensors: readonly string[];
  /** Matrices that are loaded in another type than they are stored in, a sentence per type. */
  readonly replacedFormats: readonly string[];
  /** What loading within `memory` would do on the CPU; null where that was not asked. */
  readonly memory: MemoryForecast | null;
  /** Bytes that one sequence of `context` tokens keeps, in bf16 unless told. */
  kvBytes(context: number, precision?: KvPrecision): number;
}

const DEFAULT_CONTEXT = 8192;
/** The longest published is 10,485,760; a prefill's cost is summed token by token. */
const MOST_CONTEXT = 2 ** 24;

/**
 * Describes a model from its hub config, a checkpoint (whose headers alone are read), a hub id, a
 * config.json or a built-in name. Rejects with one line: a ConfigError where the config cannot
 * describe a model, a WeightsError where the checkpoint does not fit it.
 */
export async function describe(source: DescribeSource, options: DescribeOptions = {}): Promise<Description> {
  const opened = await openSource(source, options);
  try {
    return describeModel(opened.config, { ...options, where: opened.where, name: opened.name, tensors: opened.tensors });
  } finally {
    await opened.close();
  }
}

interface ModelOptions extends DescribeOptions {
  readonly where: string;
  readonly name?: string;
  readonly tensors?: ReadonlyMap<string, StoredTensor>;
}

function describeModel(config: unknown, options: ModelOptions): Description {
  checkOptions(options);
  const { family, hf, decoder } = explained(options.where, () => buildModel(config, options.where));
  const binding = options.tensors && planBinding(decoder, options.tensors, { scaleBlock: scaleBlock(config) });
  const bound = new Map(binding?.targets.map(({ parameter, spec }) => [parameter, spec]));
  const { frame } = decoder;
  const context = Math.min(options.context ?? Math.min(DEFAULT_CONTEXT, frame.context), frame.positions ?? Infinity);
  const batch = options.batch ?? 1;
  const passes = explained(options.where, () => runPasses(decoder, hf, (parameter) => bound.get(parameter) ?? { shape: parameter.shape, dtype: 'bf16' }, context, batch));
  const { counts, layers } = passes;
  return {
    family: family.name, name: options.name ?? hf.modelType,
    parameters: {
      total: sum(counts, ({ total }) => total), active: sum(counts, ({ active }) => active),
      stored: options.tensors ? storedElements(options.tensors) : null, byPart: byPart(counts),
    },
    weightBytes: sum(counts, ({ parameter }) => byteLength(bound.get(parameter) ?? { shape: parameter.shape, dtype: 'bf16' })),
    weightFormats: bytesByFormat(counts),
    kvBytesPerToken: sum(layers, (layer) => layer.kvBytesPerToken), contextLength: frame.context, vocabularySize: frame.vocab,
    hiddenSize: frame.dim, learnedPositions: frame.positions ?? null, tiedHead: frame.tied, context, batch,
    kvAtContext: kvBytes(layers, context), kvAtContextLength: kvBytes(layers, frame.context), kvByKind: kvKinds(layers, context),
    decode: passes.decode, prefill: passes.prefill, layers, skippedTensors: binding?.skipped ?? [],
    replacedFormats: binding ? formatReplacements(binding) : [],
    memory: options.memory === undefined ? null : forecastMemory(decoder, options.tensors, options.name ?? hf.modelType, {
      memory: options.memory, weights: options.weights, contextLength: options.context, scaleBlock: scaleBlock(config),
    }),
    kvBytes: (tokens, precision) => kvBytes(layers, tokens, precision),
  };
}

function runPasses(decoder: Decoder, hf: HfConfig, specOf: (parameter: Parameter) => Spec, context: number, batch: number) {
  const run = execution(decoder, specOf);
  const single = run.decode(context, 1);
  const counts = countParameters(run, single);
  return {
    counts, layers: describeLayers(run, single, counts, ropeRules(hf)),
    decode: costOf(batch === 1 ? single : run.decode(context, batch), context, batch), prefill: costOf(run.prefill(context), context),
  };
}

function byPart(counts: readonly ParameterCount[]): Partial<Record<PartName, number>> {
  const parts: Partial<Record<PartName, number>> = {};
  for (const { part, total } of counts) parts[part] = (parts[part] ?? 0) + total;
  return parts;
}

/** Everything but the scales of quantised weights, which are not parameters. */
function storedElements(tensors: ReadonlyMap<string, StoredTensor>): number {
  const isScale = (name: string) => name.endsWith('_scale_inv') && tensors.has(name.slice(0, -'_scale_inv'.length));
  return sum([...tensors.values()].filter(({ name }) => !isScale(name)), ({ shape }) => elementCount(shape));
}

/** Rows and columns per FP8 scale, where the config has them. What is wrong with them, loading says. */
function scaleBlock(config: unknown): readonly [number, number] | undefined {
  type Quantised = { quantization_config?: { weight_block_size?: unknown } | null };
  const whole = config as Quantised & { text_config?: Quantised | null };
  const size = (whole.quantization_config ?? whole.text_config?.quantization_config)?.weight_block_size;
  return Array.isArray(size) && size.length === 2 ? (size as [number, number]) : undefined;
}

function checkOptions({ context, batch }: DescribeOptions): void {
  for (const [name, value, most] of [['context', context, MOST_CONTEXT], ['batch', batch, 2 ** 20]] as const) {
    if (value !== undefined && !(Number.isInteger(value) && value >= 1 && value <= most)) throw new RangeError(`${name} must be a whole number from 1 to ${most}, got ${value}`);
  }
}

/** What a config makes the definition trip over (shapes that do not fit) is the config's fault. */
function explained<T>(where: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (error instanceof ConfigError) throw reason.startsWith(where) ? error : new ConfigError(`${where}: ${reason}`, { cause: error });
    throw new ConfigError(`${where} does not describe a model that can run: ${reason}`, { cause: error });
  }
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
