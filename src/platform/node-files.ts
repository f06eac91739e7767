// Files in Node. Reading is positioned and never takes more than the range asked for, so a shard of
// many gigabytes costs what is read of it. Writing goes to temporary names and is renamed when
// everything is on the disk, so a full disk or a crash leaves no half file under a final name.

import { createHash, randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, mkdir, open, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ByteSource, Directory, DirectoryWriter, GrowingFile, LocalFiles } from './platform.js';
import { checkRange } from './memory.js';

// One system call moves at most 2^31 - 1 bytes (libuv's limit); longer reads go in pieces.
const READ_PIECE = 2 ** 30;

export const nodeFiles: LocalFiles = {
  homeDirectory: homedir(),
  join,
  absolute: (path) => resolve(path),
  fromUrl: fileURLToPath,
  stat: statPath,
  openFile,
  openDirectory,
  writeDirectory,
  readText: (path) => ifPresent(readFile(path, 'utf8')),
  writeText,
  openGrowing,
  rename: (from, to) => rename(from, to),
  remove: (path) => rm(path, { force: true }),
  link: linkFile,
  hasher(algorithm) {
    const hash = createHash(algorithm);
    return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest('hex') };
  },
};

async function statPath(path: string) {
  const found = await ifPresent(stat(path));
  if (!found) return undefined;
  const kind = found.isFile() ? ('file' as const) : found.isDirectory() ? ('directory' as const) : ('other' as const);
  return { kind, size: found.size };
}

async function openFile(path: string): Promise<ByteSource> {
  const handle = await explained(path, open(path, 'r'));
  try {
    const status = await handle.stat();
    if (!status.isFile()) throw new Error(`${path} is not a file`);
    const readInto = reader(handle, path, status.size);
    const read: ByteSource['read'] = async (offset, length) => {
      checkRange(path, status.size, offset, length);
      const bytes = allocate(path, length);
      await readInto(offset, bytes);
      return bytes;
    };
    return { name: path, size: status.size, read, readInto, close: () => handle.close() };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function reader(handle: FileHandle, path: string, size: number): NonNullable<ByteSource['readInto']> {
  return async (offset, target) => {
    const { length } = target;
    checkRange(path, size, offset, length);
    // A read may return less than asked for (a signal, a network file system): ask for the rest.
    for (let done = 0; done < length; ) {
      const { bytesRead } = await explained(path, handle.read(target, done, Math.min(length - done, READ_PIECE), offset + done));
      if (bytesRead === 0) {
        throw new Error(`${path} ends at byte ${offset + done}, but had ${size} when it was opened; it was changed while being read`);
      }
      done += bytesRead;
    }
  };
}

function allocate(path: string, length: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(length);
  } catch (error) {
    throw new Error(`${path}: no memory for ${length} bytes in one piece; read a smaller range`, { cause: error });
  }
}

async function openDirectory(path: string): Promise<Directory> {
  if ((await statPath(path))?.kind !== 'directory') throw new Error(`${path} is not a directory`);
  return {
    name: path,
    async list() {
      const files: string[] = [];
      for (const entry of await explained(path, readdir(path, { withFileTypes: true }))) {
        // A link counts as what it points to: the hub's cache is made of links.
        const isFile = entry.isFile() || (entry.isSymbolicLink() && (await statPath(join(path, entry.name)))?.kind === 'file');
        if (isFile) files.push(entry.name);
      }
      return files.sort();
    },
    async open(fileName) {
      checkFileName(fileName);
      const file = join(path, fileName);
      return (await statPath(file))?.kind === 'file' ? openFile(file) : undefined;
    },
    async close() {},
  };
}

/** File names may come from a downloaded index: one with a separator could point out of the folder. */
function checkFileName(fileName: string): void {
  if (fileName === '' || fileName === '.' || fileName === '..' || /[/\\\0]/.test(fileName)) {
    throw new Error(`${JSON.stringify(fileName)} is not a plain file name`);
  }
}

async function writeDirectory(path: string): Promise<DirectoryWriter> {
  await explained(path, mkdir(path, { recursive: true }));
  const written = new Map<string, string>();
  const writer: DirectoryWriter = {
    async write(fileName, content) {
      checkFileName(fileName);
      if (written.has(fileName)) throw new Error(`${fileName} is written twice into ${path}`);
      const temporary = temporaryName(join(path, fileName));
      written.set(fileName, temporary);
      await writeAll(temporary, join(path, fileName), content);
    },
    async commit() {
      for (const [fileName, temporary] of written) await explained(path, rename(temporary, join(path, fileName)));
      written.clear();
    },
    async discard() {
      for (const temporary of written.values()) await rm(temporary, { force: true });
      written.clear();
    },
  };
  return writer;
}

async function writeAll(path: string, finalPath: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<void> {
  const handle = await explained(finalPath, open(path, 'wx'));
  try {
    if (content instanceof Uint8Array) await explained(finalPath, handle.writeFile(content));
    else for await (const chunk of content) await explained(finalPath, handle.writeFile(chunk));
    await explained(finalPath, handle.sync());
  } finally {
    await handle.close();
  }
}

async function writeText(path: string, text: string): Promise<void> {
  await explained(path, mkdir(dirname(path), { recursive: true }));
  const temporary = temporaryName(path);
  try {
    await writeAll(temporary, path, new TextEncoder().encode(text));
    await explained(path, rename(temporary, path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function openGrowing(path: string): Promise<GrowingFile> {
  await explained(path, mkdir(dirname(path), { recursive: true }));
  const handle = await explained(path, open(path, constants.O_RDWR | constants.O_CREAT));
  const { size } = await handle.stat();
  return {
    size,
    async write(position, bytes) {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await explained(path, handle.write(bytes, done, bytes.length - done, position + done));
        done += bytesWritten;
      }
    },
    truncate: (length) => explained(path, handle.truncate(length)),
    sync: () => explained(path, handle.sync()),
    close: () => handle.close(),
  };
}

async function linkFile(target: string, path: string): Promise<void> {
  await explained(path, mkdir(dirname(path), { recursive: true }));
  await rm(path, { force: true });
  try {
    // Relative, so that a cache folder may be moved or mounted elsewhere.
    await symlink(relative(dirname(path), target), path);
  } catch {
    // Windows without developer mode, and some network file systems, have no symbolic links.
    await link(target, path).catch(() => explained(path, copyFile(target, path)));
  }
}

/** In the same folder, hence the same file system, so that the rename is one step. */
function temporaryName(path: string): string {
  return `${path}.${randomUUID().slice(0, 8)}.partial`;
}

async function ifPresent<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    // Too long, or with a null byte: a string that cannot be a path names nothing.
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ERR_INVALID_ARG_VALUE'].includes(errorCode(error))) return undefined;
    throw error;
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EEXIST: 'something other than a directory has this name',
  ENOENT: 'there is no such file or directory',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is not a directory',
  EMFILE: 'too many files are open',
};

/** Turns the common system errors into a sentence that starts with the path. */
async function explained<T>(path: string, result: Promise<T>): Promise<T> {
  try {
    return await result;
  } catch (error) {
    const reason = REASONS[errorCode(error)];
    throw reason ? new Error(`${path}: ${reason}`, { cause: error }) : error;
  }
}

function errorCode(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? '');
}
