// What a person may give as "the model", made into a directory: a path, a hub id, a web address,
// files of a file picker. Nothing is loaded here.

import { blobDirectory, blobSource, platform } from '../platform/index.js';
import type { Directory, LocalFiles } from '../platform/index.js';
import { CheckpointError, quoted, reasonOf } from './error.js';
import { ggufPart, isGgufFile, isShard, someOf } from './files.js';
import { isGgufMagic, openGgufDirectory } from './gguf/checkpoint.js';
import { openHubRepository } from './hub.js';
import type { HubOptions } from './hub.js';
import { hubEndpoint, isHubId } from './hub-api.js';
import { httpDirectory, isHttpUrl } from './http.js';
import { isZooName, openZooSibling } from './zoo.js';

/** A path, hub id, URL or `zoo:<name>`; a directory as it is; or the files of a file picker. */
export type CheckpointSource = string | Directory | Blob | Iterable<Blob> | ArrayLike<Blob>;

/**
 * Finds the directory that a source stands for:
 * a path that exists (a single .safetensors file: its directory, with no other weights), else a hub
 * id (`owner/name` or a bare name), `zoo:<name>` for a sibling that comes with the package, a hub page or another http(s) address, or files. A .gguf file, also
 * one named behind a hub id (`owner/name/file.gguf`) or alone in its folder, becomes a directory that
 * stands for it.
 * Rejects with one CheckpointError that says what was tried.
 */
export async function resolveSource(source: CheckpointSource, options: HubOptions = {}): Promise<Directory> {
  if (typeof source === 'string') return resolveText(source, options);
  if (isDirectory(source)) return source;
  const blobs = source instanceof Blob ? [source] : Array.from(source);
  if (blobs.length === 0) throw new CheckpointError('no files were given');
  // A Blob that is no File has no name to tell by.
  if (blobs.length === 1 && !(blobs[0] as Partial<File>).name && isGgufMagic(await blobs[0].slice(0, 4).arrayBuffer())) return openGgufDirectory(blobSource(blobs[0]));
  let directory: Directory;
  try {
    directory = blobDirectory(blobs);
  } catch (error) {
    throw new CheckpointError(reasonOf(error), { cause: error });
  }
  return withoutConfig(directory);
}

/** A directory as it is; but where a GGUF file takes the place of config and weights, that file. */
async function withoutConfig(directory: Directory): Promise<Directory> {
  const names = await directory.list();
  // Of a split model the first part stands for all.
  const files = names.filter((name) => isGgufFile(name) && (ggufPart(name)?.index ?? 1) === 1);
  if (names.includes('config.json') || files.length === 0) return directory;
  if (files.length === 1) return ggufIn(directory, files[0]);
  await directory.close();
  throw new CheckpointError(`${directory.name} has several GGUF files (${someOf(files)}); name the one to load`);
}

/** A GGUF file of a directory, which is closed with it. */
async function ggufIn(directory: Directory, file: string): Promise<Directory> {
  const source = await directory.open(file);
  if (source) return openGgufDirectory(source, (part) => directory.open(part), directory);
  await directory.close();
  throw new CheckpointError(`${directory.name} has no ${file}`);
}

function isDirectory(source: object): source is Directory {
  return 'open' in source && 'list' in source;
}

async function resolveText(source: string, options: HubOptions): Promise<Directory> {
  if (isHttpUrl(source)) return resolveUrl(source, options);
  if (isZooName(source)) return openZooSibling(source);
  const { files } = await platform();
  const found = await files?.stat(source);
  if (files && found?.kind === 'directory') return withoutConfig(await files.openDirectory(source));
  if (files && found) return fileAsDirectory(files, source);
  const tried = files ? `there is no file or directory ${quoted(source)}` : 'a browser has no paths';
  const [, id, file] = /^([^/]+\/[^/]+)\/([^/]+\.gguf)$/i.exec(source) ?? [];
  if (id && isHubId(id)) return ggufIn(await openHubRepository(id, { ...options, files: (name) => name === file || samePart(name, file) }), file);
  if (!isHubId(source)) throw new CheckpointError(`${tried}, and ${quoted(source)} is not a hub id (owner/name) or a URL`);
  try {
    return await openHubRepository(source, options);
  } catch (error) {
    const unknown = error instanceof CheckpointError && (error.status === 401 || error.status === 404);
    throw unknown ? new CheckpointError(`${tried}; as a hub id, ${error.message}`, { cause: error, status: error.status }) : error;
  }
}

async function resolveUrl(url: string, options: HubOptions): Promise<Directory> {
  const { pathname } = new URL(url);
  const endpoint = `${await hubEndpoint()}/`;
  if (url.startsWith(endpoint)) {
    // A model's page, as copied from the address bar; other addresses there are plain files.
    const [, id, revision] = /^([^/]+\/[^/]+?)(?:\/tree\/(.+?))?\/?$/.exec(decodeURIComponent(pathname.slice(new URL(endpoint).pathname.length))) ?? [];
    if (id && isHubId(id)) return openHubRepository(id, { ...options, revision: options.revision ?? revision });
  }
  const { signal, attempts, retryDelay, onWarning, onProgress } = options;
  const access = { signal, attempts, retryDelay, onWarning, onProgress };
  const file = fileIn(pathname);
  if (!file) return httpDirectory(url, access);
  const folder = new URL(url);
  folder.pathname = pathname.slice(0, -file.length);
  if (isGgufFile(file)) return ggufIn(httpDirectory(folder.href, access), decodeURIComponent(file));
  return onlyWeights(httpDirectory(folder.href, access), decodeURIComponent(file), url);
}

/** The file name of a path that ends in .safetensors or .gguf. */
function fileIn(path: string): string | undefined {
  return /[^/\\]+\.(safetensors|gguf)$/i.exec(path)?.[0];
}

/** Whether two names are parts of the same split model. */
function samePart(name: string, other: string): boolean {
  const [a, b] = [ggufPart(name), ggufPart(other)];
  return a !== undefined && a.stem === b?.stem && a.count === b.count;
}

async function fileAsDirectory(files: LocalFiles, path: string): Promise<Directory> {
  const absolute = files.absolute(path);
  const file = fileIn(absolute);
  if (!file) throw new CheckpointError(`${path} is not a directory, a .safetensors or a .gguf file`);
  const directory = await files.openDirectory(absolute.slice(0, -file.length));
  return isGgufFile(file) ? ggufIn(directory, file) : onlyWeights(directory, file, path);
}

/** A directory as if the given weight file were the only one in it. */
function onlyWeights(directory: Directory, file: string, name: string): Directory {
  if (isShard(file)) throw new CheckpointError(`${name} is one shard of a checkpoint; give its directory`);
  const hidden = (other: string): boolean => /\.safetensors(\.index\.json)?$/.test(other) && other !== file;
  return {
    name,
    list: async () => [...new Set([...(await directory.list()).filter((other) => !hidden(other)), file])].sort(),
    open: async (fileName) => (hidden(fileName) ? undefined : directory.open(fileName)),
    close: () => directory.close(),
  };
}
