// What is kept of files that lie on web servers, as interfaces. Not an implementation:
// `browser-cache.ts` is. A file is kept in blocks, each as it arrives, so that loading a model and
// keeping it are one pass, and a download that was cut goes on where it ended.

/** Which file, in which version: another version is another file. */
export interface CacheKey {
  readonly url: string;
  readonly size: number;
  /** What the server says that changes with the content (ETag, Last-Modified). */
  readonly version: string;
}

export interface CachedFile {
  readonly blockBytes: number;
  /** Whether a block (counted from 0; the last may be short) is kept. */
  has(block: number): boolean;
  /** Bytes of blocks that are kept. */
  read(offset: number, length: number): Uint8Array;
  /** Keeps whole blocks that follow one another. Throws where there is no room. */
  keep(firstBlock: number, bytes: Uint8Array): void;
  close(): void;
}

/** A file of the cache as it is listed. */
export interface CachedFileInfo extends CacheKey {
  /** How many of its bytes are kept; all of them when equal to `size`. */
  readonly keptBytes: number;
  /** When it was last opened to load from. */
  readonly lastUsed: Date;
}

export interface FileCache {
  /** Opens what is kept of a file, or begins to keep it. Rejects with one line when that cannot be. */
  open(key: CacheKey): Promise<CachedFile>;
  list(): Promise<CachedFileInfo[]>;
  /** Removes a file in all versions, or every file; returns how many bytes that frees. */
  remove(url?: string): Promise<number>;
}
