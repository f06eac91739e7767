// The file cache of a browser: the origin private file system (OPFS), which workers may read and
// write at any offset. Two files for each that is kept: `<id>.data` holds the content and behind it
// one byte per block, 1 where the block is kept; `<id>.json` says what it is.
//
// Several tabs may fill the same file: they write the same bytes, and no mark is ever taken back.

import type { CachedFile, CachedFileInfo, CacheKey, FileCache } from './file-cache.js';

const FOLDER = 'lamella-files';
// Small enough to lose little when a tab is closed, large enough that a request is mostly content.
const BLOCK_BYTES = 4 * 2 ** 20;

// As TypeScript's DOM library does not know them yet.
interface SyncHandle {
  read(into: Uint8Array, at: { at: number }): number;
  write(bytes: Uint8Array, at: { at: number }): number;
  flush(): void;
  close(): void;
}
type FileHandle = FileSystemFileHandle & { createSyncAccessHandle?(options?: { mode: string }): Promise<SyncHandle> };
type Folder = FileSystemDirectoryHandle & { keys(): AsyncIterable<string> };

/** Undefined where the browser has no such storage, as in pages that are not served securely. */
export function browserCache(): FileCache | undefined {
  return typeof globalThis.navigator?.storage?.getDirectory === 'function' ? cache : undefined;
}

const cache: FileCache = {
  async open(key) {
    const folder = await openFolder();
    const id = await idOf(key);
    const known = await facts(folder, id);
    if (!known) {
      await removeFiles(folder, ({ url }) => url === key.url);
      await makeRoom(key);
    }
    const handle = await openSync(await folder.getFileHandle(`${id}.data`, { create: true }));
    try {
      await writeFacts(folder, id, key);
    } catch (error) {
      handle.close();
      throw error;
    }
    return new BlockFile(handle, key.size);
  },
  async list() {
    return (await listed(await openFolder())).map(({ info }) => info).filter(({ keptBytes }) => keptBytes > 0);
  },
  async remove(url) {
    return removeFiles(await openFolder(), (file) => url === undefined || file.url === url);
  },
};

class BlockFile implements CachedFile {
  readonly blockBytes = BLOCK_BYTES;
  private readonly marks: Uint8Array;

  constructor(private readonly handle: SyncHandle, private readonly size: number) {
    this.marks = new Uint8Array(blockCount(size));
    this.handle.read(this.marks, { at: size });
  }

  has(block: number): boolean {
    return this.marks[block] === 1;
  }

  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    const count = this.handle.read(bytes, { at: offset });
    if (count !== length) throw new Error(`the browser's cache gave ${count} of ${length} bytes`);
    return bytes;
  }

  keep(firstBlock: number, bytes: Uint8Array): void {
    this.write(bytes, firstBlock * BLOCK_BYTES);
    // The content must be on the disk before the marks that vouch for it.
    this.handle.flush();
    const marks = new Uint8Array(blockCount(bytes.length)).fill(1);
    this.write(marks, this.size + firstBlock);
    this.marks.set(marks, firstBlock);
  }

  close(): void {
    this.handle.flush();
    this.handle.close();
  }

  private write(bytes: Uint8Array, at: number): void {
    const count = this.handle.write(bytes, { at });
    // Chromium throws nothing where there is no room, and gives a number without meaning.
    if (count !== bytes.length) throw new DOMException('the browser gives no more room', 'QuotaExceededError');
  }
}

const blockCount = (size: number): number => Math.ceil(size / BLOCK_BYTES);

async function openFolder(): Promise<Folder> {
  const root = await navigator.storage.getDirectory();
  return (await root.getDirectoryHandle(FOLDER, { create: true })) as Folder;
}

/** A name for a version of a file: what URLs hold is no file name. */
async function idOf({ url, size, version }: CacheKey): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(JSON.stringify([url, size, version, BLOCK_BYTES])));
  return [...new Uint8Array(digest).subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

async function openSync(file: FileHandle): Promise<SyncHandle> {
  if (!file.createSyncAccessHandle) throw new Error('only workers can write to it');
  // Browsers that do not know the mode ignore it, and refuse a file that another tab has open.
  return file.createSyncAccessHandle({ mode: 'readwrite-unsafe' });
}

/** Rejects when the browser would not give as much storage as the file takes. */
async function makeRoom({ size }: CacheKey): Promise<void> {
  const { quota, usage } = await navigator.storage.estimate();
  if (quota === undefined || usage === undefined || quota - usage >= size) return;
  throw new Error(`it takes ${mebibytes(size)} MiB, and the browser gives ${mebibytes(Math.max(0, quota - usage))} MiB more`);
}

const mebibytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

async function facts(folder: Folder, id: string): Promise<(CacheKey & { readonly lastUsed: number }) | undefined> {
  try {
    return JSON.parse(await (await (await folder.getFileHandle(`${id}.json`)).getFile()).text());
  } catch {
    // Not there, or cut short when a tab was closed: as good as not there.
    return undefined;
  }
}

async function writeFacts(folder: Folder, id: string, { url, size, version }: CacheKey): Promise<void> {
  const writable = await (await folder.getFileHandle(`${id}.json`, { create: true })).createWritable();
  await writable.write(JSON.stringify({ url, size, version, lastUsed: Date.now() }));
  await writable.close();
}

async function listed(folder: Folder): Promise<{ id: string; info: CachedFileInfo; bytes: number }[]> {
  const found = [];
  for await (const name of folder.keys()) {
    const [, id] = /^(.*)\.json$/.exec(name) ?? [];
    const known = id && (await facts(folder, id));
    const data = known && (await folder.getFileHandle(`${id}.data`).then((handle) => handle.getFile(), () => undefined));
    if (!known || !data) continue;
    const marks = new Uint8Array(await data.slice(known.size, known.size + blockCount(known.size)).arrayBuffer());
    const keptBytes = marks.reduce((sum, mark, block) => sum + (mark === 1 ? Math.min(BLOCK_BYTES, known.size - block * BLOCK_BYTES) : 0), 0);
    found.push({ id, bytes: data.size, info: { ...known, keptBytes, lastUsed: new Date(known.lastUsed) } });
  }
  return found;
}

async function removeFiles(folder: Folder, wanted: (file: CacheKey) => boolean): Promise<number> {
  let freed = 0;
  for (const { id, info, bytes } of await listed(folder)) {
    if (!wanted(info)) continue;
    // A file that is open stays until it is removed again.
    const gone = await folder.removeEntry(`${id}.data`).then(() => true, () => false);
    if (!gone) continue;
    await folder.removeEntry(`${id}.json`);
    freed += bytes;
  }
  return freed;
}
