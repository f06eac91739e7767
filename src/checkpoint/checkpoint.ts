// A checkpoint directory in the hub's form (or a GGUF file that stands for one, see `gguf/`): config.json, perhaps generation_config.json, and the
// weights in one safetensors file or in shards with an index. Opening reads the small files and the
// shards' headers, each once; tensor bytes are read when asked for. What the config means is the
// model families' business.

import type { ByteSource, Directory } from '../platform/index.js';
import { CheckpointError, quoted } from './error.js';
import { chooseWeights, WEIGHTS, WEIGHTS_INDEX } from './files.js';
import { isGgufDirectory, openGgufCheckpoint } from './gguf/checkpoint.js';
import { isObject, parseObject, refusePrototypeKey } from './json.js';
import type { JsonObject } from './json.js';
import { inParallel } from './parallel.js';
import { readSafetensors } from './safetensors.js';
import type { Safetensors } from './safetensors.js';
import type { StoredTensor } from './stored.js';

// A config is a few kilobytes, with lists per layer some tens.
const MAX_CONFIG_BYTES = 16 * 2 ** 20;
// An index says less than the shards' headers together: safetensors' limit for those is the measure.
const MAX_INDEX_BYTES = 100_000_000;
// DeepSeek V3 has 163; each costs an open file, and a small index can name millions.
const MAX_SHARDS = 4096;

export interface Checkpoint {
  readonly name: string;
  /** config.json as it is. */
  readonly config: JsonObject;
  /** generation_config.json; undefined where the checkpoint has none. */
  readonly generationConfig?: JsonObject;
  /** Every tensor of every weight file, by name. */
  readonly tensors: Map<string, StoredTensor>;
  /** Where it was opened, for the tokenizer's files. */
  readonly directory: Directory;
  /** Closes the weight files and the directory. */
  close(): Promise<void>;
}

export interface OpenCheckpointOptions {
  readonly signal?: AbortSignal;
}

/**
 * Opens the checkpoint in a directory, which it then owns.
 * Throws CheckpointError when config.json or the weights are missing, damaged or disagree with the
 * index; everything opened is closed then, the directory included.
 */
export async function openCheckpoint(directory: Directory, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
  if (isGgufDirectory(directory)) return openGgufCheckpoint(directory);
  const opened: Safetensors[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(opened.map((file) => file.close()));
    await directory.close();
  };
  try {
    const config = await readObject(directory, 'config.json', MAX_CONFIG_BYTES);
    if (!config) throw new CheckpointError(`${directory.name} has no config.json, which says what the model is`);
    const generationConfig = await readObject(directory, 'generation_config.json', MAX_CONFIG_BYTES);
    const tensors = await openWeights(directory, opened, options.signal);
    return { name: directory.name, config, generationConfig, tensors, directory, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openWeights(directory: Directory, opened: Safetensors[], signal?: AbortSignal): Promise<Map<string, StoredTensor>> {
  // Tried by name first: a web server has no listing to choose from.
  const single = await directory.open(WEIGHTS);
  if (single) return openSingle(single, opened);
  const index = await readObject(directory, WEIGHTS_INDEX, MAX_INDEX_BYTES);
  if (index) return openShards(directory, WEIGHTS_INDEX, index, opened, signal);
  const chosen = chooseWeights(await directory.list(), directory.name);
  const source = chosen.kind === 'single' ? await directory.open(chosen.file) : undefined;
  if (source) return openSingle(source, opened);
  const otherIndex = await readObject(directory, chosen.file, MAX_INDEX_BYTES);
  if (!otherIndex) throw new CheckpointError(`${directory.name}: ${chosen.file} was removed while it was opened`);
  return openShards(directory, chosen.file, otherIndex, opened, signal);
}

async function openSingle(source: ByteSource, opened: Safetensors[]): Promise<Map<string, StoredTensor>> {
  const file = await readSafetensors(source);
  opened.push(file);
  return file.tensors;
}

// Headers are small and a web server's answers slow: several at a time.
const SHARDS_AT_ONCE = 8;

async function openShards(directory: Directory, indexName: string, index: JsonObject, opened: Safetensors[], signal?: AbortSignal): Promise<Map<string, StoredTensor>> {
  const what = `${directory.name}: ${indexName}`;
  const byShard = readWeightMap(index, what);
  const shards = new Map<string, Safetensors>();
  await inParallel([...byShard.keys()], SHARDS_AT_ONCE, async (shard) => {
    signal?.throwIfAborted();
    const source = await directory.open(shard);
    if (!source) throw new CheckpointError(`${directory.name} has no ${shard}, which ${indexName} names`);
    const file = await readSafetensors(source);
    opened.push(file);
    shards.set(shard, file);
  });
  const tensors = new Map<string, StoredTensor>();
  for (const [shard, names] of byShard) {
    const held = shards.get(shard)!.tensors;
    const absent = names.find((name) => !held.has(name));
    if (absent !== undefined) throw new CheckpointError(`${what} places tensor ${quoted(absent)} in ${shard}, which does not have it`);
    for (const [name, tensor] of held) {
      const other = tensors.get(name);
      if (other) throw new CheckpointError(`${directory.name}: tensor ${quoted(name)} is in two shards, ${other.file} and ${tensor.file}`);
      tensors.set(name, tensor);
    }
  }
  return tensors;
}

/** The index's `weight_map` turned round: the tensors of each shard. */
export function readWeightMap(index: JsonObject, what: string): Map<string, string[]> {
  const { weight_map: weightMap } = index;
  if (!isObject(weightMap)) throw new CheckpointError(`${what} has no weight_map object`);
  const byShard = new Map<string, string[]>();
  for (const [name, shard] of Object.entries(weightMap)) {
    refusePrototypeKey(name, what);
    // A path could lead out of the directory ("../../secrets"), so only plain names are followed.
    if (typeof shard !== 'string' || !/^[\w.-]+\.safetensors$/.test(shard)) {
      throw new CheckpointError(`${what} places tensor ${quoted(name)} in ${quoted(shard)}, expected the name of a .safetensors file`);
    }
    const names = byShard.get(shard);
    if (names) names.push(name);
    else byShard.set(shard, [name]);
  }
  if (byShard.size === 0) throw new CheckpointError(`${what} has an empty weight_map`);
  if (byShard.size > MAX_SHARDS) throw new CheckpointError(`${what} names ${byShard.size} shards, more than ${MAX_SHARDS}`);
  return byShard;
}

/** A JSON object from a file of the directory; undefined where there is no such file. */
export async function readObject(directory: Directory, fileName: string, maxBytes: number = MAX_INDEX_BYTES): Promise<JsonObject | undefined> {
  const source = await directory.open(fileName);
  if (!source) return undefined;
  try {
    // What is called a config may be gigabytes of anything.
    if (source.size > maxBytes) throw new CheckpointError(`${source.name} has ${source.size} bytes, more than the ${maxBytes} that such a file may have`);
    return parseObject(await source.read(0, source.size), source.name);
  } finally {
    await source.close();
  }
}
