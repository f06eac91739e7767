// What the library asks of the machine it runs on, as interfaces: files here, threads and the GPU
// adapter beside them. Not an implementation: `node.ts` and `browser.ts` are, and `platform()` in
// `index.ts` picks one. Nothing here knows what a checkpoint is.

import type { FileCache } from './file-cache.js';
import type { Threads } from './threads.js';

/** Bytes of known size that can be read at any offset: an open file, a Blob, an array, a URL. */
export interface ByteSource {
  /** What error messages call it: a path, a file name, a URL. */
  readonly name: string;
  readonly size: number;
  /**
   * Reads exactly `length` bytes from `offset`, into memory that then belongs to the caller.
   * Rejects when the range leaves the source or fewer bytes can be had. Calls may overlap in time.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /**
   * The same into memory that is there already, and may be shared with threads: neither allocated nor
   * copied. Absent where a source cannot do without its own memory.
   */
  readInto?(offset: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** A flat folder of files, wherever it lives. File names are plain names, never paths. */
export interface Directory {
  readonly name: string;
  /** The names of its files, sorted; folders within it are left out. */
  list(): Promise<string[]>;
  /** Opens a file; undefined where there is none of that name. The caller closes it. */
  open(fileName: string): Promise<ByteSource | undefined>;
  close(): Promise<void>;
}

/** Fills a folder so that readers see either none of the new files or all of them. */
export interface DirectoryWriter {
  /** Stores the content under a temporary name, chunk by chunk. */
  write(fileName: string, content: Uint8Array | AsyncIterable<Uint8Array>): Promise<void>;
  /** Gives every written file its final name, in the order of writing. */
  commit(): Promise<void>;
  /** Removes what was written; does nothing after `commit`. */
  discard(): Promise<void>;
}

/** A file that grows over several runs, such as an interrupted download. */
export interface GrowingFile {
  readonly size: number;
  write(position: number, bytes: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  /** Waits until the bytes are on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Lower-case hexadecimal. Ends the hasher. */
  hex(): string;
}

/** The local file system, where there is one. Paths are strings in the platform's own form. */
export interface LocalFiles {
  readonly homeDirectory: string;
  join(...parts: string[]): string;
  absolute(path: string): string;
  /** The path that a file: address stands for. */
  fromUrl(url: string): string;
  /** Follows symbolic links; undefined where nothing is. */
  stat(path: string): Promise<{ kind: 'file' | 'directory' | 'other'; size: number } | undefined>;
  openFile(path: string): Promise<ByteSource>;
  openDirectory(path: string): Promise<Directory>;
  /** Prepares to write files into a folder, which is created if it is missing. */
  writeDirectory(path: string): Promise<DirectoryWriter>;
  /** The text of a small file; undefined where there is none. */
  readText(path: string): Promise<string | undefined>;
  /** Replaces a small file in one step, creating the folders above it. */
  writeText(path: string, text: string): Promise<void>;
  /** Opens a file for writing without emptying it, creating it and the folders above it. */
  openGrowing(path: string): Promise<GrowingFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes `path` another name of `target`: a relative symbolic link, else a hard link, else a copy. */
  link(target: string, path: string): Promise<void>;
  hasher(algorithm: 'sha1' | 'sha256'): Hasher;
}

/**
 * Opens the best GPU that WebGPU finds, with the features and limits that `describe` asks of it.
 * Rejects with one sentence that says what is missing.
 */
export type OpenGpu = (describe: (adapter: GPUAdapter) => GPUDeviceDescriptor) => Promise<{ adapter: GPUAdapter; device: GPUDevice }>;

export interface Platform {
  readonly name: 'node' | 'browser';
  /** True on the thread that draws a web page and hears its user: it must never be busy for long. */
  readonly onPage: boolean;
  /** An environment variable; undefined where unset, empty, or where there are none. */
  environment(variable: string): string | undefined;
  /** Undefined where code cannot reach files by path. */
  readonly files?: LocalFiles;
  /** Keeps what was read from web servers; undefined where nothing does. */
  readonly cache?: FileCache;
  readonly openGpu: OpenGpu;
  readonly threads: Threads;
  /** Bytes of memory that the machine has, or its container may take; undefined where nobody says. */
  readonly memory?: number;
  /**
   * Runs what makes many small objects that stay, such as a vocabulary. Where engines take that for a sign to
   * keep much more room for new ones, they are told not to; absent where they cannot be told.
   */
  readonly keepingHeapSmall?: <T>(body: () => Promise<T>) => Promise<T>;
}
