// Models of the Hugging Face hub as directories. In Node the files go through the cache that
// Python's client uses, in its layout, so that either uses what the other has fetched:
//
//   models--owner--name/blobs/<hash>                         contents
//   models--owner--name/snapshots/<commit>/<file>            links to them
//   models--owner--name/refs/<branch or tag>                 a commit
//
// In a browser, or with `download: false`, files are read by ranges (a browser keeps those, see `cached.ts`).
// Downloading is in `download.ts`, what the hub is asked in `hub-api.ts`.

import { platform } from '../platform/index.js';
import type { Directory, LocalFiles } from '../platform/index.js';
import { readObject, readWeightMap } from './checkpoint.js';
import { download } from './download.js';
import { CheckpointError, quoted } from './error.js';
import { chooseWeights, isGgufFile, isSmallFile, isWeightFile, someOf, WEIGHTS } from './files.js';
import { authorization, checkHubFile, fileUrl, getFile, hubEndpoint, hubToken, isCommit, isHubId, listRepository, resolveCommit } from './hub-api.js';
import type { HubAccess, HubFile, HubModel } from './hub-api.js';
import { httpSource } from './http.js';
import { inParallel } from './parallel.js';
import type { RetryOptions } from './retry.js';

export interface DownloadProgress {
  readonly file: string;
  /** Bytes of the file that are on the disk, those of an earlier run included. */
  readonly loaded: number;
  readonly total: number;
}

export interface HubOptions extends RetryOptions {
  /** Branch, tag or commit; 'main' unless told. */
  readonly revision?: string;
  /** Called as files are downloaded; not for files that the cache has. */
  readonly onProgress?: (progress: DownloadProgress) => void;
  /** Told when a browser cannot keep a file for the next time. */
  readonly onWarning?: (message: string) => void;
  /** Which of a checkpoint's files are wanted; all unless told. Other files are never fetched. */
  readonly files?: (fileName: string) => boolean;
  /** False reads by ranges from the hub and stores nothing: enough to inspect a large model. */
  readonly download?: boolean;
  /** Instead of HF_TOKEN or the token of the login. */
  readonly token?: string;
}

// Small models are bound by round trips, large ones by the network: a few at a time serve both.
const FILES_AT_ONCE = 4;

/**
 * Opens a hub model, `owner/name` or a bare name such as `gpt2`, downloading what the cache lacks.
 * Honours HF_ENDPOINT, HF_TOKEN, HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE.
 * Rejects with a CheckpointError that names the model and file, or with the signal's reason.
 */
export async function openHubRepository(id: string, options: HubOptions = {}): Promise<Directory> {
  if (!isHubId(id)) throw new CheckpointError(`${quoted(id)} is not the id of a hub model, expected owner/name`);
  const model: HubModel = { id, revision: options.revision ?? 'main' };
  // It becomes a path in the cache, and part of addresses.
  if (!/^[\w.+-]+(\/[\w.+-]+)*$/.test(model.revision) || model.revision.split('/').some((part) => /^\.+$/.test(part))) {
    throw new CheckpointError(`${quoted(model.revision)} is not a revision, expected a branch, a tag or a commit`);
  }
  const { files, environment } = await platform();
  const offline = isOn(environment('HF_HUB_OFFLINE'));
  const { signal, attempts, retryDelay } = options;
  const access: HubAccess = { endpoint: await hubEndpoint(), token: options.token ?? (await hubToken()), signal, attempts, retryDelay };
  if (!files || (options.download === false && !offline)) return openRemote(model, access, options);
  const cache = await cacheOf(files, model);
  if (offline) return cache.open(await cache.snapshot('HF_HUB_OFFLINE is set and', options));
  return cache.open(await fetchSnapshot(cache, access, options));
}

function isOn(variable: string | undefined): boolean {
  return variable !== undefined && /^(1|on|yes|true)$/i.test(variable);
}

/** The model's files by HTTP ranges. */
async function openRemote(model: HubModel, access: HubAccess, { onWarning, onProgress }: HubOptions): Promise<Directory> {
  const commit = await resolveCommit(model, access);
  const names = (await listRepository(model, commit, access)).map((file) => file.name).sort();
  return {
    name: model.id,
    list: async () => [...names],
    async open(fileName) {
      if (!names.includes(fileName)) return undefined;
      return httpSource(fileUrl(model, commit, fileName, access), { ...access, headers: authorization(access), onWarning, onProgress });
    },
    async close() {},
  };
}

/** Brings the model's current snapshot into the cache and returns its commit. */
async function fetchSnapshot(cache: HubCache, access: HubAccess, options: HubOptions): Promise<string> {
  const { model } = cache;
  let commit: string;
  try {
    // With something to fall back on, a missing network need not be waited for.
    commit = await resolveCommit(model, (await cache.commit()) ? { ...access, attempts: Math.min(2, access.attempts ?? 2) } : access);
  } catch (error) {
    // The hub cannot be reached at all: what the cache has is better than nothing.
    if (!(error instanceof CheckpointError) || !error.transient || error.status !== undefined) throw error;
    return cache.snapshot(`${error.message}, and`, options);
  }
  const listed = await listRepository(model, commit, access);
  // When one file fails, the others stop; what they have is kept for the next run.
  const failure = new AbortController();
  const signal = AbortSignal.any([failure.signal, ...(options.signal ? [options.signal] : [])]);
  const store = async (file: HubFile): Promise<void> => {
    try {
      await storeFile(cache, commit, file, { ...access, signal }, options);
    } catch (error) {
      failure.abort(error);
      throw error;
    }
  };
  const selected = await selectFiles(cache, commit, listed, store, options);
  // Small files first: a mistake in them shows before gigabytes have come.
  await inParallel(selected.sort((a, b) => a.size - b.size), FILES_AT_ONCE, store);
  await cache.remember(commit);
  return commit;
}

/** What the checkpoint needs of the repository. The index is fetched here, because it names the shards. */
async function selectFiles(cache: HubCache, commit: string, listed: readonly HubFile[], store: (file: HubFile) => Promise<void>, options: HubOptions): Promise<HubFile[]> {
  const wants = options.files ?? (() => true);
  const { id } = cache.model;
  // A repository may hold a dozen GGUF files, one per format: only one that is asked for is fetched.
  const selected = listed.filter(({ name }) => (isSmallFile(name) || (options.files && isGgufFile(name))) && wants(name));
  const names = listed.map(({ name }) => name).filter((name) => !isWeightFile(name) || wants(name));
  if (options.files && !names.some(isWeightFile)) return selected;
  const chosen = chooseWeights(names, id);
  const named = (name: string): HubFile => {
    const file = listed.find((candidate) => candidate.name === name);
    if (!file) throw new CheckpointError(`${id}: ${chosen.file} names ${name}, which the repository does not have`);
    return file;
  };
  if (chosen.kind === 'single') return [...selected, named(chosen.file)];
  await store(named(chosen.file));
  return [...selected, ...(await cache.shardsOf(commit, chosen.file)).map(named)];
}

/** Makes sure that a file of the snapshot is there: linked already, or its content is, or downloaded. */
async function storeFile(cache: HubCache, commit: string, file: HubFile, access: HubAccess, options: HubOptions): Promise<void> {
  const { files, model } = cache;
  checkHubFile(file, model);
  access.signal?.throwIfAborted();
  const path = cache.snapshotPath(commit, file.name);
  const hasSize = async (candidate: string): Promise<boolean> => (await files.stat(candidate))?.size === file.size;
  if (await hasSize(path)) return;
  const blob = cache.blobPath(file.hash);
  if (!(await hasSize(blob))) {
    const wanted = { label: `${model.id}: ${file.name}`, path: blob, size: file.size, hash: file.hash, get: (from: number) => getFile(model, commit, file.name, access, from) };
    await download(files, wanted, { ...access, onBytes: (loaded) => options.onProgress?.({ file: file.name, loaded, total: file.size }) });
  }
  await files.link(blob, path);
}

type HubCache = Awaited<ReturnType<typeof cacheOf>>;

/** A model's part of the cache on disk. */
async function cacheOf(files: LocalFiles, model: HubModel) {
  const { getHFHubCachePath, getRepoFolderName } = await import('@huggingface/hub');
  const root = files.absolute(getHFHubCachePath().replace(/^~(?=[/\\]|$)/, files.homeDirectory));
  const repository = files.join(root, getRepoFolderName({ type: 'model', name: model.id }));
  const refPath = files.join(repository, 'refs', ...model.revision.split('/'));
  const snapshotPath = (commit: string, ...fileName: string[]): string => files.join(repository, 'snapshots', commit, ...fileName);

  const open = async (commit: string): Promise<Directory> => ({ ...(await files.openDirectory(snapshotPath(commit))), name: model.id });
  const shardsOf = async (commit: string, index: string): Promise<string[]> => {
    const content = await readObject(await open(commit), index);
    return content ? [...readWeightMap(content, `${model.id}: ${index}`).keys()] : [];
  };

  /** The commit that the revision stood for when it was last downloaded, if its snapshot is here. */
  const cachedCommit = async (): Promise<string | undefined> => {
    const commit = isCommit(model.revision) ? model.revision : ((await files.readText(refPath)) ?? '').trim();
    return isCommit(commit) && (await files.stat(snapshotPath(commit)))?.kind === 'directory' ? commit : undefined;
  };

  return {
    files,
    model,
    snapshotPath,
    blobPath: (hash: string): string => files.join(repository, 'blobs', hash),
    open,
    shardsOf,
    commit: cachedCommit,
    /** Notes which commit the branch or tag stands for, for use without a network. */
    async remember(commit: string): Promise<void> {
      if (model.revision !== commit && (await files.readText(refPath)) !== commit) await files.writeText(refPath, commit);
    },
    /** That commit, checked for missing files; `why` opens the error. */
    async snapshot(why: string, options: HubOptions): Promise<string> {
      const commit = await cachedCommit();
      if (!commit) throw new CheckpointError(`${why} the cache (${root}) has no ${model.id} at revision ${model.revision}; download it once with a network`);
      const names = await (await open(commit)).list();
      const wants = options.files ?? (() => true);
      const needed = wants('config.json') ? ['config.json'] : [];
      if (wants(WEIGHTS)) {
        const weights = chooseWeights(names, `${why} the cached snapshot of ${model.id}`);
        if (weights.kind === 'index') needed.push(...(await shardsOf(commit, weights.file)));
      }
      const missing = needed.filter((name) => !names.includes(name));
      if (missing.length > 0) throw new CheckpointError(`${why} the cached snapshot of ${model.id} lacks ${someOf(missing)}`);
      return commit;
    },
  };
}
