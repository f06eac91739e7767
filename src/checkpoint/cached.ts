// A file on a web server read through the platform's cache: what is kept is not asked for again,
// and what is asked for is kept as it arrives. Where it cannot be kept, loading goes on without.

import type { ByteSource, CachedFile } from '../platform/index.js';
import { checkRange, platform } from '../platform/index.js';
import { reasonOf } from './error.js';

/** Blocks per request while a file is read front to back: a round trip costs as much as some megabytes. */
const BLOCKS_AT_ONCE = 4;

/** What is kept of a file; undefined, and a warning, where nothing can be. */
export async function openCached(url: string, size: number, version: string | null, onWarning?: (message: string) => void): Promise<CachedFile | undefined> {
  const { cache } = await platform();
  if (!cache || size === 0) return undefined;
  try {
    // Without a version a changed file would never be noticed.
    if (!version) throw new Error('the server sends neither ETag nor Last-Modified, or does not let other sites read them');
    return await cache.open({ url, size, version });
  } catch (error) {
    onWarning?.(notKept(url, error));
    return undefined;
  }
}

const notKept = (url: string, error: unknown, what = 'it'): string => `${url} is not kept in the browser's storage, ${what} will be downloaded again next time: ${reasonOf(error)}`;

/** `source`, with `file` in front of it. The caller's close() closes both. */
export function cachedSource(source: ByteSource, file: CachedFile, onWarning?: (message: string) => void): ByteSource {
  const reader = new CachedReader(source, file, onWarning);
  return {
    name: source.name,
    size: source.size,
    read: (offset, length) => reader.read(offset, length),
    async close() {
      file.close();
      await source.close();
    },
  };
}

class CachedReader {
  /** What was fetched last: the next read often begins within it, kept or not. */
  private fetched = { first: 0, bytes: new Uint8Array(0) };
  private full = false;
  /** Requests run one after another, so that no block is fetched twice. */
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly source: ByteSource, private readonly file: CachedFile, private readonly onWarning?: (message: string) => void) {}

  read(offset: number, length: number): Promise<Uint8Array> {
    const result = this.turn.then(() => this.readNow(offset, length));
    this.turn = result.catch(() => undefined);
    return result;
  }

  private async readNow(offset: number, length: number): Promise<Uint8Array> {
    checkRange(this.source.name, this.source.size, offset, length);
    const { blockBytes } = this.file;
    const end = offset + length;
    const out = new Uint8Array(length);
    for (let at = offset; at < end;) {
      const block = Math.floor(at / blockBytes);
      const bytes = this.file.has(block) ? this.fromFile(block, at, end) : await this.fromServer(block, at, end);
      out.set(bytes, at - offset);
      at += bytes.length;
    }
    return out;
  }

  /** What is kept from `at` on, up to `end`. */
  private fromFile(block: number, at: number, end: number): Uint8Array {
    let last = block;
    const { blockBytes } = this.file;
    while ((last + 1) * blockBytes < end && this.file.has(last + 1)) last++;
    return this.file.read(at, Math.min(end, (last + 1) * blockBytes) - at);
  }

  /** Fetches what is missing from a block on, keeps it, and gives the part from `at` to `end`. */
  private async fromServer(block: number, at: number, end: number): Promise<Uint8Array> {
    const { blockBytes } = this.file;
    const start = () => this.fetched.first * blockBytes;
    if (at < start() || at >= start() + this.fetched.bytes.length) {
      const following = block * blockBytes === start() + this.fetched.bytes.length && block > 0;
      const wanted = following ? BLOCKS_AT_ONCE : Math.min(BLOCKS_AT_ONCE, Math.ceil(end / blockBytes) - block);
      let last = block;
      while (last + 1 < block + wanted && (last + 1) * blockBytes < this.source.size && !this.file.has(last + 1)) last++;
      const bytes = await this.source.read(block * blockBytes, Math.min((last + 1) * blockBytes, this.source.size) - block * blockBytes);
      this.fetched = { first: block, bytes: bytes as Uint8Array<ArrayBuffer> };
      this.keep(block, bytes);
    }
    return this.fetched.bytes.subarray(at - start(), Math.min(end - start(), this.fetched.bytes.length));
  }

  private keep(first: number, bytes: Uint8Array): void {
    if (this.full) return;
    try {
      this.file.keep(first, bytes);
    } catch (error) {
      this.full = true;
      this.onWarning?.(notKept(this.source.name, error, first === 0 ? 'it' : 'the rest of it'));
    }
  }
}

/**
 * A source over a body that cannot be asked for in parts: it is kept as it arrives, and read from
 * there. A body that is kept already is not received. Rejects when it cannot be kept.
 */
export async function keptBody(name: string, size: number, body: AsyncIterable<Uint8Array>, file: CachedFile, onBytes?: (loaded: number) => void): Promise<ByteSource> {
  const { blockBytes } = file;
  const count = Math.ceil(size / blockBytes);
  const isKept = () => Array.from({ length: count }, (_, block) => file.has(block)).every(Boolean);
  if (!isKept()) {
    let [first, pending] = [0, [] as Uint8Array[]];
    let [loaded, waiting] = [0, 0];
    for await (const chunk of body) {
      pending.push(chunk);
      loaded += chunk.length;
      waiting += chunk.length;
      onBytes?.(loaded);
      if (waiting < BLOCKS_AT_ONCE * blockBytes && loaded < size) continue;
      const whole = joined(pending, waiting);
      const complete = loaded < size ? waiting - (waiting % blockBytes) : waiting;
      file.keep(first, whole.subarray(0, complete));
      first += Math.ceil(complete / blockBytes);
      waiting -= complete;
      pending = [whole.slice(complete)];
    }
    if (!isKept()) throw new Error(`the connection ended before byte ${size}`);
  }
  return {
    name,
    size,
    async read(offset, length) {
      checkRange(name, size, offset, length);
      return file.read(offset, length);
    },
    async close() { file.close(); },
  };
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const out = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}
