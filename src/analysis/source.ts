// Finds the config, and where there are any the tensors, of whatever a person gives as "the
// model". Tensor bytes are never read, only the files' headers.

import { isGgufDirectory, openCheckpoint, resolveSource } from '../checkpoint/index.js';
import type { CheckpointSource, Directory, StoredTensor } from '../checkpoint/index.js';
import { readObject } from '../checkpoint/checkpoint.js';
import { CheckpointError, quoted, reasonOf } from '../checkpoint/error.js';
import { parseObject } from '../checkpoint/json.js';
import { findPublished, similarPublished } from '../models/published.js';
import { platform } from '../platform/index.js';

/** A config.json as an object; a path, hub id, URL or files of a checkpoint; a config.json's path; a built-in name. */
export type DescribeSource = CheckpointSource | Readonly<Record<string, unknown>>;

export interface OpenSourceOptions {
  /** Hub branch, tag or commit. */
  readonly revision?: string;
  /** False reads the config alone, not the headers of the weight files. */
  readonly headers?: boolean;
  readonly signal?: AbortSignal;
}

export interface OpenedSource {
  /** What to call it: a hub id, a directory's last part. Undefined for a plain config. */
  readonly name?: string;
  /** What error messages about the config begin with. */
  readonly where: string;
  readonly config: unknown;
  /** Every stored tensor by name, where there is a checkpoint. */
  readonly tensors?: ReadonlyMap<string, StoredTensor>;
  close(): Promise<void>;
}

const nothing = async (): Promise<void> => {};

/** Opens a source; close it when its tensors' headers were used. */
export async function openSource(source: DescribeSource, options: OpenSourceOptions = {}): Promise<OpenedSource> {
  if (typeof source === 'string') return openText(source, options);
  if (isFiles(source)) return openDirectory(await resolveSource(source, options), options);
  return { where: 'config.json', config: source, close: nothing };
}

/** A Directory, a Blob or a list of Blobs; anything else is taken as a config, whatever it is. */
function isFiles(source: unknown): source is Exclude<CheckpointSource, string> {
  if (source === null || typeof source !== 'object') return false;
  if (source instanceof Blob || ('open' in source && typeof source.open === 'function')) return true;
  const items = Symbol.iterator in source ? [...(source as Iterable<unknown>)] : [];
  return items.length > 0 && items.every((item) => item instanceof Blob);
}

async function openText(text: string, options: OpenSourceOptions): Promise<OpenedSource> {
  const { files } = await platform();
  const found = await files?.stat(text);
  if (files && found?.kind === 'file' && text.endsWith('.json')) return openConfigFile(files.absolute(text), text);
  // A path beats a name, and a name that is built in needs no network.
  const published = found || options.revision !== undefined ? undefined : findPublished(text);
  if (published) return { name: published.hubId, where: `${published.hubId}: config.json`, config: published.config, close: nothing };
  try {
    return await openDirectory(await resolveSource(text, { ...options, download: false }), options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw found || /[/\\]/.test(text) ? error : unknownName(text, error);
  }
}

async function openConfigFile(path: string, shown: string): Promise<OpenedSource> {
  const source = await (await platform()).files!.openFile(path);
  try {
    const config = parseObject(await source.read(0, source.size), shown);
    const [folder, file] = path.split(/[/\\]/).slice(-2);
    return { name: file === 'config.json' && folder ? folder : file.slice(0, -'.json'.length), where: shown, config, close: nothing };
  } finally {
    await source.close();
  }
}

async function openDirectory(directory: Directory, options: OpenSourceOptions): Promise<OpenedSource> {
  const where = `${directory.name}: config.json`;
  const name = /^https?:/.test(directory.name) ? directory.name : shortName(directory.name);
  // A GGUF file's config is its header.
  if (options.headers === false && !isGgufDirectory(directory)) {
    const config = await readObject(directory, 'config.json');
    await directory.close();
    if (!config) throw new CheckpointError(`${directory.name} has no config.json, which says what the model is`);
    return { name, where, config, close: nothing };
  }
  const { config, tensors, close } = await openCheckpoint(directory, options);
  return { name, where, config, tensors: options.headers === false ? undefined : tensors, close };
}

/** A hub id as it is, the last part of a path. */
function shortName(name: string): string {
  return /^[\w.-]+\/[\w.-]+$/.test(name) && !name.startsWith('.') ? name : (name.split(/[/\\]/).filter(Boolean).at(-1) ?? name);
}

/** A bare word may be a mistyped name: says which ones are near. */
function unknownName(text: string, error: unknown): CheckpointError {
  const near = similarPublished(text);
  const built = near.length > 0 ? `${quoted(text)} is not one built-in model (near it: ${near.join(', ')})` : `no built-in model is called ${quoted(text)}`;
  return new CheckpointError(`${built}; ${reasonOf(error)}`, { cause: error });
}
