// Files on a web server, read by ranges: a checkpoint can be inspected, or loaded in a browser,
// without storing it. A browser keeps what was read (see `cached.ts`). Not the hub's cache (see `hub.ts`).

import { bytesSource, checkRange } from '../platform/index.js';
import type { ByteSource, CachedFile, Directory } from '../platform/index.js';
import { cachedSource, keptBody, openCached } from './cached.js';
import { CheckpointError, reasonOf } from './error.js';
import { KNOWN_FILES } from './files.js';
import { retrying } from './retry.js';
import type { RetryOptions } from './retry.js';

export interface HttpOptions extends RetryOptions {
  /** Sent with every request, such as an Authorization header. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Told when a browser cannot keep a file for the next time. */
  readonly onWarning?: (message: string) => void;
  /** Told while a file comes that must be received whole before it can be read. */
  readonly onProgress?: (progress: { readonly file: string; readonly loaded: number; readonly total: number }) => void;
}

// A server without range requests sends the whole file, which is then kept in memory. That is right
// for a config or a tokenizer, and wrong for weights.
const LARGEST_WITHOUT_RANGES = 64 * 2 ** 20;

export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/** Opens a file by URL, learning its size with a request for one byte; undefined for a 404. */
export async function httpSource(url: string, options: HttpOptions = {}): Promise<ByteSource | undefined> {
  const response = await request(url, options, 'bytes=0-0');
  if (response.status === 200) return wholeSource(url, response, options);
  const total = /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1];
  await release(response);
  if (response.status === 404) return undefined;
  // An empty file has no first byte to ask for.
  if (response.status === 416) return rangeSource(url, 0, options);
  if (response.status !== 206) throw refused(url, response.status);
  if (total === undefined) throw new CheckpointError(`${url}: the server does not say how large the file is (no readable Content-Range)`);
  const size = Number(total);
  const kept = await openCached(url, size, versionOf(response), options.onWarning);
  const source = rangeSource(url, size, options);
  return kept ? cachedSource(source, kept, options.onWarning) : source;
}

/** What changes when the file does. */
const versionOf = ({ headers }: Response): string | null => headers.get('etag') ?? headers.get('last-modified');

/** Whether the server has a file. */
async function isThere(url: string, options: HttpOptions): Promise<boolean> {
  const response = await request(url, options, 'bytes=0-0');
  await release(response);
  if (response.status === 404) return false;
  if (![200, 206, 416].includes(response.status)) throw refused(url, response.status);
  return true;
}

function rangeSource(url: string, size: number, options: HttpOptions): ByteSource {
  return {
    name: url,
    size,
    async read(offset, length) {
      checkRange(url, size, offset, length);
      if (length === 0) return new Uint8Array(0);
      return retrying(options, () => readRange(url, offset, length, options));
    },
    async close() {},
  };
}

async function readRange(url: string, offset: number, length: number, options: HttpOptions): Promise<Uint8Array> {
  const response = await request(url, { ...options, attempts: 1 }, `bytes=${offset}-${offset + length - 1}`);
  if (response.status !== 206) {
    await release(response);
    throw refused(url, response.status);
  }
  const bytes = await bodyBytes(url, response, options.signal);
  if (bytes.length !== length) throw new CheckpointError(`${url}: the server sent ${bytes.length} of ${length} bytes at offset ${offset}`);
  return bytes;
}

async function wholeSource(url: string, response: Response, options: HttpOptions): Promise<ByteSource> {
  const length = Number(response.headers.get('content-length') ?? 0);
  // The length of an encoded body is not the content's.
  const kept = response.headers.has('content-encoding') ? undefined : await openCached(url, length, versionOf(response), options.onWarning);
  if (kept) return wholeKept(url, length, response, kept, options);
  if (length > LARGEST_WITHOUT_RANGES) {
    await release(response);
    throw new CheckpointError(`${url}: the server ignores range requests, so the file cannot be read in parts; download it first`);
  }
  return bytesSource(await bodyBytes(url, response), url);
}

/** A whole body that goes to the browser's storage, and is read from there. */
async function wholeKept(url: string, size: number, response: Response, kept: CachedFile, { signal, onProgress }: HttpOptions): Promise<ByteSource> {
  const file = decodeURIComponent(new URL(url).pathname.split('/').at(-1) ?? url);
  try {
    return await keptBody(url, size, bodyChunks(url, response, signal), kept, onProgress && ((loaded) => onProgress({ file, loaded, total: size })));
  } catch (error) {
    kept.close();
    if (error instanceof CheckpointError || signal?.aborted) throw error;
    throw new CheckpointError(`${url}: the server ignores range requests, and the file cannot be kept in the browser's storage: ${reasonOf(error)}`, { cause: error });
  } finally {
    await release(response);
  }
}

/** A folder on a web server. Servers have no listing: `list` asks for the files that checkpoints have. */
export function httpDirectory(url: string, options: HttpOptions = {}): Directory {
  const base = new URL(url);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const addressOf = (fileName: string): string => {
    const file = new URL(encodeURIComponent(fileName), base);
    file.search = base.search;
    return file.href;
  };
  return {
    name: url,
    async list() {
      const found = await Promise.all(KNOWN_FILES.map(async (name) => ((await isThere(addressOf(name), options)) ? [name] : [])));
      return found.flat().sort();
    },
    open: (fileName) => httpSource(addressOf(fileName), options),
    async close() {},
  };
}

/**
 * One GET, repeated where the reason to fail may pass: a connection that breaks, 429 and 5xx. Other
 * statuses are answers, for the caller to judge.
 */
export async function request(url: string, options: HttpOptions, range?: string): Promise<Response> {
  return retrying(options, async () => {
    let response: Response;
    try {
      // The browser's own cache would hold a second copy, and could answer with an older file's part.
      response = await fetch(url, { headers: { ...options.headers, ...(range && { range }) }, signal: options.signal, cache: 'no-store' });
    } catch (error) {
      throw brokenConnection(url, error, options.signal);
    }
    if (!isPassing(response.status)) return response;
    await release(response);
    throw refused(url, response.status, Number(response.headers.get('retry-after')));
  });
}

/** An error for a connection that broke; what the signal says, where it was aborted on purpose. */
export function brokenConnection(url: string, error: unknown, signal?: AbortSignal): unknown {
  if (signal?.aborted) return signal.reason;
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return new CheckpointError(`${url}: the connection failed (${reasonOf(cause)})`, { cause: error, transient: true });
}

export function refused(url: string, status: number, retryAfter?: number): CheckpointError {
  return new CheckpointError(`${url}: the server answers with status ${status}`, {
    status,
    transient: isPassing(status),
    retryAfter: retryAfter || undefined,
  });
}

function isPassing(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

async function bodyBytes(url: string, response: Response, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw brokenConnection(url, error, signal);
  }
}

/** The body's chunks; a connection that breaks becomes a transient error. Leaving early ends the transfer. */
export async function* bodyChunks(label: string, response: Response, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error) => {
        throw brokenConnection(label, error, signal);
      });
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Lets go of a response whose body nobody reads, so that its connection is free again. */
export async function release(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}
