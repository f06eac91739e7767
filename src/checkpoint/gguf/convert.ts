// A hub checkpoint as a GGUF file that llama.cpp loads: the inverse of `checkpoint.ts`, from the same
// table of architectures. The tokenizer's metadata is made by `lamella/tokenizer` and handed in.

import type { Checkpoint } from '../checkpoint.js';
import { toFloat32 } from '../decode.js';
import { encodeFloat32 } from '../encode.js';
import { CheckpointError, quoted } from '../error.js';
import type { StoredTensor } from '../stored.js';
import type { WritableTensor } from '../safetensors.js';
import { ARCHITECTURES, experts } from './architectures.js';
import type { Architecture } from './architectures.js';
import { HubConfig } from './facts.js';
import { llama3Divisors } from './rope-freqs.js';
import { columnsOf, encodedRows, storedRows } from './rows.js';
import type { Rows } from './rows.js';
import { expand } from './rules.js';
import type { Rule } from './rules.js';
import { FORMATS, isGgufType } from './types.js';
import { uint32, writeGguf } from './write.js';
import type { GgufStream, WritableValue } from './write.js';

/** The formats that matrices can be written in; vectors and routers stay float32, as llama.cpp wants them. */
export type GgufFormat = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0';

const EMBEDDINGS = 'token_embd.weight';

/** llama.cpp's numbers for "mostly of this type". */
const FILE_TYPES: Readonly<Record<GgufFormat, number>> = { f32: 0, f16: 1, bf16: 32, q8_0: 7, q4_0: 2 };

export interface ConvertOptions {
  readonly format: GgufFormat;
  /** Of the embedding table, where it should be finer: a tied one is the head too. `format` by default. */
  readonly embeddings?: GgufFormat;
  /** `tokenizer.*` entries (see `ggufTokenizerMetadata` in lamella/tokenizer). */
  readonly tokenizer?: Iterable<readonly [string, WritableValue]>;
  readonly name?: string;
}

export interface Converted {
  /** Iterate it into a file. */
  readonly stream: GgufStream;
  /** Stored tensors that llama.cpp has no place for: vision towers, MTP layers, masks, tied heads. */
  readonly skipped: readonly string[];
}

/**
 * Converts an open checkpoint; its tensors are read, rearranged and encoded one at a time as the
 * stream is iterated.
 * Throws CheckpointError for a model type that llama.cpp's format has no architecture for, a config that
 * it cannot express, or a checkpoint that lacks tensors.
 */
export function convertToGguf(checkpoint: Checkpoint, { format, embeddings = format, tokenizer = [], name = baseName(checkpoint.name) }: ConvertOptions): Converted {
  const config = new HubConfig(checkpoint.config, `${checkpoint.name}: config.json`);
  const architecture = ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(config.modelType));
  if (!architecture) throw new CheckpointError(`${checkpoint.name}: models of type ${quoted(config.modelType)} cannot be written as GGUF; known are ${ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes).join(', ')}`);
  const { tensors, skipped } = arrangedTensors(checkpoint, architecture, config);
  const vocabulary = tensors.find(([gguf]) => gguf === EMBEDDINGS)![1].shape[0];
  const own = Object.entries({ ...architecture.metadata(config), vocab_size: uint32(vocabulary) });
  const metadata: (readonly [string, WritableValue])[] = [
    ['general.architecture', architecture.name], ['general.type', 'model'], ['general.name', name],
    ['general.file_type', uint32(FILE_TYPES[format])], ['general.quantization_version', uint32(2)],
    ...own.map(([key, value]) => [`${architecture.name}.${key}`, value] as const), ...tokenizer,
  ];
  const files = [...tensors.map(([gguf, rows, precise]) => writable(gguf, rows, precise ? 'f32' : gguf === EMBEDDINGS ? embeddings : format)), ...ropeTensor(architecture, config)];
  return { stream: writeGguf(metadata, files), skipped };
}

const baseName = (path: string): string => /([^/\\]+)[/\\]*$/.exec(path)?.[1] ?? path;

type Arranged = [gguf: string, rows: Rows, precise: boolean];

function arrangedTensors(checkpoint: Checkpoint, { rules, name }: Architecture, config: HubConfig): { tensors: Arranged[]; skipped: string[] } {
  const find = finder(checkpoint);
  const layers = config.optional('num_hidden_layers') ?? config.number('n_layer');
  const tied = config.flag('tie_word_embeddings', false);
  const [tensors, used, filled]: [Arranged[], Set<string>, Set<string>] = [[], new Set(), new Set()];
  for (const rule of rules(config)) {
    if (!rule.toGguf || (tied && rule.gguf[0] === 'output.weight')) continue;
    const repeated = rule.gguf.some((gguf) => gguf.includes('{N}'));
    for (let layer = 0; layer < (repeated ? layers : 1); layer++) {
      const parts = expand(rule.hub, layer, experts(config)).map(find);
      if (!parts.every((part) => part !== undefined)) continue;
      const rows = rule.toGguf(parts.map(({ tensor, scales }) => hubRows(tensor, scales, config)));
      expand(rule.gguf, layer, 0).forEach((gguf, i) => tensors.push([gguf, rows[i], isPrecise(rule, rows[i])]));
      for (const { tensor, scales } of parts) for (const each of [tensor, scales]) if (each) used.add(each.name);
      if (repeated) filled.add(`blk.${layer}`);
    }
  }
  const has = (gguf: string): boolean => tensors.some(([found]) => found === gguf);
  const missing = [EMBEDDINGS, 'output_norm.weight'].find((gguf) => !has(gguf)) ?? (filled.size < layers ? `blk.${filled.size}` : undefined);
  if (missing) throw new CheckpointError(`${checkpoint.name} has no tensors for ${missing}, which a ${name} file needs`);
  return { tensors, skipped: [...checkpoint.tensors.keys()].filter((tensor) => !used.has(tensor)) };
}

/** Vectors are tiny and llama.cpp computes with them in float32. */
const isPrecise = (rule: Rule, { shape }: Rows): boolean => rule.precise === true || shape.length < 2;

/** Looks tensors up by the rules' names, whatever prefixes this release puts before them. */
function finder({ tensors }: Checkpoint): (name: string) => { tensor: StoredTensor; scales?: StoredTensor } | undefined {
  const prefix = (ending: string): string => {
    const found = [...tensors.keys()].filter((name) => name === ending || name.endsWith(`.${ending}`));
    // An MTP layer or a vision tower may have a table of its own, with a longer name.
    return found.sort((a, b) => a.length - b.length)[0]?.slice(0, -ending.length) ?? '';
  };
  const [llama, gpt2, head] = [prefix('embed_tokens.weight'), prefix('wte.weight'), prefix('lm_head.weight')];
  return (name) => {
    const own = name.startsWith('model.') ? llama + name.slice('model.'.length) : (name.startsWith('lm_head.') ? head : gpt2) + name;
    const tensor = tensors.get(own);
    return tensor && { tensor, scales: tensors.get(`${own}_scale_inv`) };
  };
}

/** A hub tensor as rows: as it is stored, where GGUF knows the type, so that what keeps its format keeps its bits; else as float32, FP8 scales applied. */
function hubRows(tensor: StoredTensor, scales: StoredTensor | undefined, config: HubConfig): Rows {
  const { shape, dtype } = tensor;
  if (isGgufType(dtype) && !scales) return storedRows(tensor);
  const columns = shape.at(-1) ?? 1;
  const rowBytes = tensor.byteLength / Math.max(1, shape.slice(0, -1).reduce((product, extent) => product * extent, 1));
  let table: Promise<Float32Array> | undefined;
  return {
    shape, dtype: 'F32',
    async read(first, count) {
      const values = toFloat32(dtype, await tensor.readRange(first * rowBytes, count * rowBytes));
      if (scales) scale(values, first, columns, scales, await (table ??= scales.read().then((bytes) => toFloat32(scales.dtype, bytes))), config);
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    },
  };
}

function scale(values: Float32Array, firstRow: number, columns: number, { shape }: StoredTensor, table: Float32Array, config: HubConfig): void {
  const block = (config.raw.quantization_config as { weight_block_size?: unknown } | undefined)?.weight_block_size;
  if (!Array.isArray(block) || block.length !== 2 || !block.every((n) => Number.isInteger(n) && n > 0)) throw new CheckpointError(`${config.file} has no quantization_config.weight_block_size, which FP8 weights need`);
  const [height, width] = block as [number, number];
  for (let i = 0; i < values.length; i++) {
    const row = firstRow + Math.floor(i / columns);
    values[i] *= table[Math.floor(row / height) * shape[1] + Math.floor((i % columns) / width)];
  }
}

function writable(name: string, rows: Rows, format: GgufFormat): WritableTensor {
  const upper = format.toUpperCase() as keyof typeof FORMATS;
  // Rows that are not whole blocks stay f16, as llama.cpp's quantiser does it.
  const fits = columnsOf(rows) % FORMATS[upper].values === 0;
  const type: GgufFormat = fits ? format : 'f16';
  const encode = (values: Float32Array): Uint8Array => encodeFloat32(type, values);
  const dtype = fits ? upper : 'F16';
  return { name, dtype, shape: rows.shape, data: () => encodedRows(rows, dtype, encode) };
}

/** llama3 scaling as the tensor that llama.cpp takes it from. */
function ropeTensor({ name }: Architecture, config: HubConfig): WritableTensor[] {
  if (name === 'gpt2' || name === 'gemma3') return [];
  const { type, theta, scaling } = config.rope(undefined, 10000);
  if (type !== 'llama3') return [];
  const headDim = config.number('head_dim', config.number('hidden_size') / config.number('num_attention_heads'));
  const divisors = llama3Divisors(headDim / 2, theta, {
    factor: scaling.number('factor'), lowFreqFactor: scaling.number('low_freq_factor'), highFreqFactor: scaling.number('high_freq_factor'),
    originalContext: scaling.number('original_max_position_embeddings'),
  });
  return [{ name: 'rope_freqs.weight', dtype: 'F32', shape: [divisors.length], data: new Uint8Array(divisors.buffer) }];
}
