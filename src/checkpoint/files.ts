// Which files make up a checkpoint, by name: what is needed of a repository, and which of several
// weight files is the model. Not their contents.

import { CheckpointError, quoted } from './error.js';

export const WEIGHTS = 'model.safetensors';
export const WEIGHTS_INDEX = 'model.safetensors.index.json';

const CONFIG_FILES = ['config.json', 'generation_config.json'];
const TOKENIZER_FILES = [
  'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'added_tokens.json',
  'vocab.json', 'merges.txt', 'vocab.txt', 'tokenizer.model', 'tiktoken.model', 'tekken.json',
  'chat_template.jinja', 'chat_template.json',
];

/** The small files that a checkpoint may have, and its usual weight files. */
export const KNOWN_FILES: readonly string[] = [...CONFIG_FILES, ...TOKENIZER_FILES, WEIGHTS, WEIGHTS_INDEX];

/** Configuration, tokenizer and chat template: everything but weights. */
export function isSmallFile(name: string): boolean {
  return CONFIG_FILES.includes(name) || TOKENIZER_FILES.includes(name);
}

const isIndex = (name: string): boolean => name.endsWith('.safetensors.index.json');
const isWeights = (name: string): boolean => name.endsWith('.safetensors');
/** Weights, or the index of their shards. */
export function isWeightFile(name: string): boolean {
  return isWeights(name) || isIndex(name);
}

/** A part of a sharded checkpoint, as transformers numbers them. */
export const isShard = (name: string): boolean => /-\d{5,}-of-\d{5,}\.safetensors$/.test(name);

export const isGgufFile = (name: string): boolean => /\.gguf$/i.test(name);

/** What the name of a part of a split GGUF model says; undefined for other names. */
export function ggufPart(name: string): { readonly stem: string; readonly index: number; readonly count: number } | undefined {
  const [, stem, index, count] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/i.exec(name) ?? [];
  return stem === undefined ? undefined : { stem, index: Number(index), count: Number(count) };
}

export type WeightFiles = { readonly kind: 'single'; readonly file: string } | { readonly kind: 'index'; readonly file: string };

/**
 * Picks the model among the files of a directory: `model.safetensors`, else its index, else the only
 * other index, else the only other safetensors file. Repositories may hold a second copy beside it
 * (`consolidated.safetensors`), which the index then leaves out.
 * Throws CheckpointError, naming what is there, when none or several could be meant.
 */
export function chooseWeights(names: readonly string[], where: string): WeightFiles {
  if (names.includes(WEIGHTS)) return { kind: 'single', file: WEIGHTS };
  if (names.includes(WEIGHTS_INDEX)) return { kind: 'index', file: WEIGHTS_INDEX };
  const indexes = names.filter(isIndex);
  if (indexes.length === 1) return { kind: 'index', file: indexes[0] };
  const files = names.filter(isWeights);
  if (files.length === 1 && !isShard(files[0])) return { kind: 'single', file: files[0] };
  if (files.some(isShard)) throw new CheckpointError(`${where} has shards (${someOf(files)}) but no ${WEIGHTS_INDEX}`);
  if (files.length > 1) throw new CheckpointError(`${where} has several safetensors files (${someOf(files)}); give the path of the one to load`);
  const ggufs = names.filter(isGgufFile);
  if (ggufs.length > 0) throw new CheckpointError(`${where} has no ${WEIGHTS}, but GGUF files; name the one to load, such as ${where}/${someOf(ggufs.slice(0, 1))}`);
  const others = names.filter((name) => /\.(bin|pt|pth|h5|msgpack|onnx)$/.test(name));
  const instead = others.length > 0 ? ` (there is ${someOf(others)}, which Lamella does not read)` : '';
  throw new CheckpointError(`${where} has no ${WEIGHTS} or ${WEIGHTS_INDEX}${instead}`);
}

/** A list of names for an error message. */
export function someOf(names: readonly string[]): string {
  const shown = names.slice(0, 3).map((name) => quoted(name).slice(1, -1)).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
