// A GGUF file as a checkpoint in the hub's form: the config derived from the metadata, the tensors under
// the names that the families declare, in the hub's orientation and order. Nothing is read but headers
// (and the few numbers of rope_freqs.weight) until a tensor is asked for.
//
// F32, F16, BF16 and the block formats keep their type; other plain numbers are read as float32.

import type { ByteSource, Directory } from '../../platform/index.js';
import type { Checkpoint } from '../checkpoint.js';
import { CheckpointError } from '../error.js';
import type { JsonObject } from '../json.js';
import { openSource } from '../safetensors.js';
import type { StoredTensor } from '../stored.js';
import { ARCHITECTURES, experts } from './architectures.js';
import { dequantize } from './dequantize.js';
import { GgufFacts, HubConfig, shortest } from './facts.js';
import { openGgufParts, siblingsOf } from './read.js';
import type { Gguf, OpenPart } from './read.js';
import { llama3RuleOf } from './rope-freqs.js';
import { asStored, storedRows } from './rows.js';
import { expand } from './rules.js';
import type { Rule } from './rules.js';
import { isBlockFormat } from './types.js';

// The deepest model published has 126 layers, the widest 512 experts. Rules are gone through for each
// layer and expert, so a header must not say a billion.
const MAX_LAYERS = 4096;
const MAX_EXPERTS = 4096;

/** The types that the engine knows as they are stored. */
const isHeld = (dtype: string): boolean => dtype === 'F32' || dtype === 'F16' || dtype === 'BF16' || isBlockFormat(dtype);

/** A directory that stands for a GGUF file: it has no files of the hub, only what the header says. */
export interface GgufDirectory extends Directory {
  readonly gguf: Gguf;
}

export function isGgufDirectory(directory: Directory): directory is GgufDirectory {
  return 'gguf' in directory;
}

/** Whether bytes begin as a GGUF file does. */
export function isGgufMagic(start: ArrayBuffer): boolean {
  return new TextDecoder('latin1').decode(start) === 'GGUF';
}

/** Opens a file (and the other parts of a split one) as a directory, which owns it. */
export async function openGgufDirectory(source: ByteSource, openPart?: OpenPart, alsoClose?: Directory): Promise<GgufDirectory> {
  let gguf: Gguf;
  try {
    gguf = await openGgufParts(source, openPart);
  } catch (error) {
    await alsoClose?.close();
    throw error;
  }
  const close = async (): Promise<void> => {
    await gguf.close();
    await alsoClose?.close();
  };
  return { name: gguf.name, gguf, list: async () => [], open: async () => undefined, close };
}

/**
 * Opens a GGUF file as `openCheckpoint` opens a directory: by path or URL, or over a source, an array or
 * a Blob. The engine loads the result like any other checkpoint.
 * Throws CheckpointError when the file is damaged or its architecture is not known; it is closed then.
 */
export async function openGguf(source: string | ByteSource | Uint8Array | Blob): Promise<Checkpoint> {
  const bytes = await openSource(source, 'GGUF bytes');
  return openGgufCheckpoint(await openGgufDirectory(bytes, typeof source === 'string' ? await siblingsOf(source) : undefined));
}

/** The checkpoint that a GGUF directory holds, which it then owns. */
export async function openGgufCheckpoint(directory: GgufDirectory): Promise<Checkpoint> {
  try {
    return await ggufCheckpoint(directory);
  } catch (error) {
    await directory.close();
    throw error;
  }
}

async function ggufCheckpoint(directory: GgufDirectory): Promise<Checkpoint> {
  const { gguf } = directory;
  const facts = new GgufFacts(gguf.name, gguf.metadata, gguf.tensors);
  const architecture = ARCHITECTURES.find(({ name }) => name === facts.architecture);
  if (!architecture) {
    const known = ARCHITECTURES.map(({ name }) => name).join(', ');
    throw new CheckpointError(`${gguf.name} holds a model of the architecture ${JSON.stringify(facts.architecture.slice(0, 40))}; known are ${known}`);
  }
  checkCounts(facts);
  const config = { ...architecture.config(facts), ...(await sharedConfig(facts, gguf)) };
  const hub = new HubConfig(config, gguf.name);
  const tensors = arrangedTensors(gguf, architecture.rules(hub), facts.number('block_count'), experts(hub));
  return { name: gguf.name, config, generationConfig: generationConfig(gguf), tensors, directory, close: () => directory.close() };
}

function checkCounts(facts: GgufFacts): void {
  const [layers, count] = [facts.number('block_count'), facts.number('expert_count', 0)];
  if (!Number.isInteger(layers) || layers < 1 || layers > MAX_LAYERS) throw new CheckpointError(`${facts.file} claims ${layers} layers, expected 1 to ${MAX_LAYERS}`);
  if (!Number.isInteger(count) || count < 0 || count > MAX_EXPERTS) throw new CheckpointError(`${facts.file} claims ${count} experts, expected at most ${MAX_EXPERTS}`);
}

/** What does not depend on the architecture: table size, special tokens, and llama3 scaling from its tensor. */
async function sharedConfig(facts: GgufFacts, gguf: Gguf): Promise<JsonObject> {
  const table = gguf.tensors.get('token_embd.weight');
  if (!table) throw new CheckpointError(`${gguf.name} has no tensor token_embd.weight: it holds a vocabulary or a part of a model only`);
  const id = (key: string): JsonObject => {
    const value = gguf.metadata.get(`tokenizer.ggml.${key}`);
    return typeof value === 'number' ? { [key]: value } : {};
  };
  const scaling = await llama3Scaling(facts, gguf);
  return {
    vocab_size: table.shape[0], ...id('bos_token_id'), ...id('eos_token_id'), ...(scaling && { rope_scaling: scaling }),
    // What is computed beside the weights is float32, as in llama.cpp (Gemma scales its embeddings).
    torch_dtype: 'float32',
  };
}

// Half of the widest head published (256); a head of 8,192 would be a mistake.
const MAX_PAIRS = 4096;

async function llama3Scaling(facts: GgufFacts, gguf: Gguf): Promise<JsonObject | undefined> {
  const tensor = gguf.tensors.get('rope_freqs.weight');
  if (!tensor) return undefined;
  if (tensor.shape.length !== 1 || tensor.shape[0] > MAX_PAIRS) throw new CheckpointError(`${gguf.name}: rope_freqs.weight has the shape [${tensor.shape.join(', ')}], expected one number per rotated pair`);
  const rule = llama3RuleOf(dequantize(tensor.dtype, await tensor.read()), facts.number('rope.freq_base', 10000), gguf.name);
  return rule && {
    rope_type: 'llama3', factor: rule.factor, low_freq_factor: rule.lowFreqFactor, high_freq_factor: rule.highFreqFactor,
    original_max_position_embeddings: rule.originalContext,
  };
}

/** Every token that ends a text or a turn, and the sampling that the file recommends. */
function generationConfig({ metadata }: Gguf): JsonObject {
  const number = (key: string): number | undefined => {
    const value = metadata.get(key);
    return typeof value === 'number' ? shortest(value) : undefined;
  };
  const ends = ['eos', 'eot', 'eom'].flatMap((kind) => number(`tokenizer.ggml.${kind}_token_id`) ?? []);
  const sampling = Object.fromEntries(
    ([['temperature', 'temp'], ['top_k', 'top_k'], ['top_p', 'top_p'], ['min_p', 'min_p']] as const)
      .flatMap(([key, name]) => { const value = number(`general.sampling.${name}`); return value === undefined ? [] : [[key, value]]; }),
  );
  return {
    ...(ends.length > 0 && { eos_token_id: [...new Set(ends)] }),
    ...(Object.keys(sampling).length > 0 && { do_sample: true, ...sampling }),
  };
}

/** The hub's tensors; those of the file that no rule takes keep their names, to be reported as unused. */
function arrangedTensors(gguf: Gguf, rules: readonly Rule[], layers: number, expertCount: number): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  const used = new Set<string>();
  for (const rule of rules) {
    const repeated = rule.gguf.some((name) => name.includes('{N}'));
    for (let layer = 0; layer < (repeated ? layers : 1); layer++) {
      const parts = expand(rule.gguf, layer, expertCount).map((name) => gguf.tensors.get(name));
      if (!parts.every((part) => part !== undefined)) continue;
      const names = expand(rule.hub, layer, expertCount);
      const { file, name: first } = parts[0];
      let rows;
      try {
        rows = rule.toHub(parts.map(storedRows));
      } catch (error) {
        throw new CheckpointError(`${file}: tensor ${first} does not have the shape that its metadata implies (${(error as Error).message})`, { cause: error });
      }
      rows.forEach((part, i) => tensors.set(names[i], asStored(names[i], file, part, isHeld)));
      for (const { name } of parts) used.add(name);
    }
  }
  for (const [name, tensor] of gguf.tensors) if (!used.has(name)) tensors.set(name, tensor);
  return tensors;
}
