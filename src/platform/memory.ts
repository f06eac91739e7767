// Byte sources over what is already at hand: arrays, and the Files and Blobs that a file picker
// gives. They work wherever Blob exists, Node included, and hold nothing that needs closing.

import type { ByteSource, Directory } from './platform.js';

/** A source over an array. Reads copy, so that the caller may change what it gets. */
export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(offset, length) {
      checkRange(name, bytes.length, offset, length);
      // Not slice(): a Node Buffer's shares memory.
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    async close() {},
  };
}

/** A source over a Blob or File; only the ranges asked for are read into memory. */
export function blobSource(blob: Blob, name: string = fileName(blob) ?? 'blob'): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(name, blob.size, offset, length);
      const bytes = new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      if (bytes.length !== length) {
        throw new Error(`${name}: got ${bytes.length} of ${length} bytes at offset ${offset}; the file changed while it was read`);
      }
      return bytes;
    },
    async close() {},
  };
}

/**
 * A folder over the files of a file picker or a drop. When a whole folder was picked
 * (`webkitRelativePath`), only the files directly in it count.
 * Throws when a Blob has no name or two files share one.
 */
export function blobDirectory(blobs: Iterable<Blob>, name = 'the given files'): Directory {
  const files = new Map<string, Blob>();
  for (const blob of topFiles([...blobs])) {
    const key = fileName(blob);
    if (!key) throw new Error(`a Blob among ${name} has no name; wrap it as new File([blob], 'model.safetensors')`);
    if (files.has(key)) throw new Error(`two of ${name} are called ${key}; give the files of one folder`);
    files.set(key, blob);
  }
  return {
    name,
    list: async () => [...files.keys()].sort(),
    async open(wanted) {
      const blob = files.get(wanted);
      return blob && blobSource(blob, wanted);
    },
    async close() {},
  };
}

/** Those directly in the folder that was picked; all where none was. */
export function topFiles(blobs: readonly Blob[]): readonly Blob[] {
  const depth = Math.min(...blobs.map(folderDepth));
  return blobs.filter((blob) => folderDepth(blob) === depth);
}

/** Throws unless `offset` and `length` name a range within `size` bytes. */
export function checkRange(name: string, size: number, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!valid || offset + length > size) {
    throw new RangeError(`${name}: cannot read ${length} bytes at offset ${offset} of ${size}`);
  }
}

function fileName(blob: Blob): string | undefined {
  const { name } = blob as { name?: unknown };
  return typeof name === 'string' && name !== '' ? name : undefined;
}

function folderDepth(blob: Blob): number {
  const { webkitRelativePath: path } = blob as { webkitRelativePath?: unknown };
  return typeof path === 'string' ? path.split('/').length : 0;
}
