// One file, from a server to the disk, for certain: it grows under `<path>.incomplete`, goes on from
// there after a cut connection or in the next run, and gets its name only when size and hash are right.
//
// Several processes may fetch the same file: all write the same bytes at the same positions and none
// empties the file, so they do not disturb each other, and the first to finish names it.

import type { GrowingFile, Hasher, LocalFiles } from '../platform/index.js';
import { CheckpointError, quoted } from './error.js';
import { bodyChunks, release } from './http.js';
import { retryPause } from './retry.js';
import type { RetryOptions } from './retry.js';

export interface WantedFile {
  /** What errors call it. */
  readonly label: string;
  /** Where it goes. */
  readonly path: string;
  readonly size: number;
  /** sha256 of the content (64 digits), or git's sha1 of it as a blob (40). */
  readonly hash: string;
  /** Requests the content from a byte on. */
  get(from: number): Promise<Response>;
}

export interface DownloadOptions extends RetryOptions {
  /** Bytes that are on the disk. */
  onBytes?(loaded: number): void;
}

/** Fetches the file. Rejects with a CheckpointError, leaving the part that can be resumed. */
export async function download(files: LocalFiles, wanted: WantedFile, options: DownloadOptions): Promise<void> {
  const partial = `${wanted.path}.incomplete`;
  for (;;) {
    const { right, resumed } = await transfer(files, wanted, partial, options);
    if (right) return giveName(files, partial, wanted.path);
    await files.remove(partial);
    // What an earlier run left may have been damaged; what was fetched just now should not be.
    if (!resumed) throw new CheckpointError(`${wanted.label}: the downloaded bytes do not have the hash ${wanted.hash} that the hub gives; nothing was kept`);
  }
}

async function giveName(files: LocalFiles, partial: string, path: string): Promise<void> {
  try {
    await files.rename(partial, path);
  } catch (error) {
    // Another process was first.
    if (!(await files.stat(path))) throw error;
  }
}

/** Bytes received so far and their running hash. */
interface Progress {
  position: number;
  hasher: Hasher;
}

async function transfer(files: LocalFiles, wanted: WantedFile, partial: string, options: DownloadOptions) {
  const file = await files.openGrowing(partial);
  try {
    const progress: Progress = { position: 0, hasher: newHasher(files, wanted) };
    if (file.size > wanted.size) await file.truncate(0);
    else await hashExisting(files, partial, file.size, progress, options.signal);
    const resumed = progress.position > 0;
    options.onBytes?.(progress.position);
    for (let failures = 0; progress.position < wanted.size; ) {
      const before = progress.position;
      try {
        await receive(files, wanted, file, progress, options);
      } catch (error) {
        if (!(error instanceof CheckpointError) || !error.transient) throw error;
        // A connection that brings something each time may break as often as it likes.
        failures = progress.position > before ? 1 : failures + 1;
        if (failures >= (options.attempts ?? 5)) throw error;
        await retryPause(options, failures, error.retryAfter);
      }
    }
    await file.sync();
    return { right: progress.hasher.hex() === wanted.hash, resumed };
  } finally {
    await file.close();
  }
}

function newHasher(files: LocalFiles, wanted: WantedFile): Hasher {
  if (wanted.hash.length === 64) return files.hasher('sha256');
  const hasher = files.hasher('sha1');
  hasher.update(new TextEncoder().encode(`blob ${wanted.size}\0`));
  return hasher;
}

const HASH_PIECE = 4 * 2 ** 20;

async function hashExisting(files: LocalFiles, partial: string, size: number, progress: Progress, signal?: AbortSignal): Promise<void> {
  if (size === 0) return;
  const source = await files.openFile(partial);
  try {
    while (progress.position < size) {
      signal?.throwIfAborted();
      const piece = await source.read(progress.position, Math.min(HASH_PIECE, size - progress.position));
      progress.hasher.update(piece);
      progress.position += piece.length;
    }
  } finally {
    await source.close();
  }
}

/** One response's worth of bytes. Rejects with a transient error when it ends early. */
async function receive(files: LocalFiles, wanted: WantedFile, file: GrowingFile, progress: Progress, options: DownloadOptions): Promise<void> {
  const response = await wanted.get(progress.position);
  const fault = sizeFault(wanted, response, progress.position);
  if (fault) {
    await release(response);
    throw new CheckpointError(`${wanted.label}: ${fault}`);
  }
  if (response.status === 200 && progress.position > 0) {
    // The server ignores ranges and starts again.
    progress.position = 0;
    progress.hasher = newHasher(files, wanted);
  }
  for await (const chunk of bodyChunks(wanted.label, response, options.signal)) {
    if (progress.position + chunk.length > wanted.size) throw new CheckpointError(`${wanted.label}: the server sends more than the ${wanted.size} bytes that the hub gives as its size`);
    await file.write(progress.position, chunk);
    progress.hasher.update(chunk);
    progress.position += chunk.length;
    options.onBytes?.(progress.position);
  }
  if (progress.position < wanted.size) {
    throw new CheckpointError(`${wanted.label}: the connection ended at byte ${progress.position} of ${wanted.size}`, { transient: true });
  }
}

/** What is wrong with the size or position that the response announces. */
function sizeFault(wanted: WantedFile, response: Response, from: number): string | undefined {
  const { status, headers } = response;
  if (status === 416) return `the server's file is shorter than the ${wanted.size} bytes that the hub gives as its size`;
  if (status === 206) {
    const range = headers.get('content-range') ?? '';
    const [, start, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range) ?? [];
    if (Number(start) !== from) return `asked for bytes from ${from}, the server sends ${quoted(range)}`;
    if (total !== '*' && Number(total) !== wanted.size) return `the server's file has ${total} bytes, the hub gives ${wanted.size} as its size`;
    return undefined;
  }
  const length = headers.get('content-length');
  if (length !== null && !headers.has('content-encoding') && Number(length) !== wanted.size) {
    return `the server's file has ${length} bytes, the hub gives ${wanted.size} as its size`;
  }
  return undefined;
}
