// Reading through a cache: each byte is asked for once, in whole blocks, and what cannot be kept is
// read all the same.

import { describe, expect, it } from 'vitest';
import { cachedSource, keptBody } from '../../src/checkpoint/cached.js';
import { bytesSource } from '../../src/platform/index.js';
import type { ByteSource, CachedFile } from '../../src/platform/index.js';

const BLOCK = 10;
const content = Uint8Array.from({ length: 95 }, (_, i) => i);

/** A cache in memory that has room for some blocks. */
function memoryFile(room = Infinity): CachedFile & { readonly blocks: Map<number, Uint8Array>; closed: boolean } {
  const blocks = new Map<number, Uint8Array>();
  return {
    blocks, closed: false, blockBytes: BLOCK,
    has: (block) => blocks.has(block),
    read: (offset, length) => Uint8Array.from({ length }, (_, i) => blocks.get(Math.floor((offset + i) / BLOCK))![(offset + i) % BLOCK]),
    keep(first, bytes) {
      for (let at = 0; at < bytes.length; at += BLOCK) {
        if (blocks.size >= room) throw new Error('no room');
        blocks.set(first + at / BLOCK, bytes.slice(at, at + BLOCK));
      }
    },
    close() { this.closed = true; },
  };
}

/** The content as a server's file, noting what is asked for. */
function server(): ByteSource & { readonly asked: [number, number][] } {
  const inner = bytesSource(content, 'file');
  const asked: [number, number][] = [];
  return { ...inner, asked, read(offset, length) { asked.push([offset, length]); return inner.read(offset, length); } };
}

describe('cachedSource', () => {
  it('asks for whole blocks, several at once when read front to back, and for nothing twice', async () => {
    const [source, file] = [server(), memoryFile()];
    const cached = cachedSource(source, file);
    for (const [offset, length] of [[0, 4], [4, 10], [14, 8], [22, 30], [52, 43], [0, 95], [94, 1], [95, 0]]) {
      expect(await cached.read(offset, length)).toEqual(content.slice(offset, offset + length));
    }
    expect(source.asked).toEqual([[0, 10], [10, 40], [50, 40], [90, 5]]);
    expect([...file.blocks.keys()]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it('goes on where an earlier visit ended', async () => {
    const file = memoryFile();
    await cachedSource(server(), file).read(0, 35);
    file.blocks.delete(1);
    const source = server();
    expect(await cachedSource(source, file).read(5, 60)).toEqual(content.slice(5, 65));
    expect(source.asked).toEqual([[10, 10], [40, 30]]);
  });

  it('serves reads that overlap in time, one after another', async () => {
    const source = server();
    const cached = cachedSource(source, memoryFile());
    const reads = [[0, 30], [10, 40], [0, 95]] as const;
    expect(await Promise.all(reads.map(([offset, length]) => cached.read(offset, length)))).toEqual(reads.map(([offset, length]) => content.slice(offset, offset + length)));
    expect(source.asked.reduce((sum, [, length]) => sum + length, 0)).toBe(95);
  });

  it('reads on where there is no more room, and says once that the file is not kept', async () => {
    const [source, file, warnings] = [server(), memoryFile(2), [] as string[]];
    const cached = cachedSource(source, file, (message) => warnings.push(message));
    for (let at = 0; at < 95; at += 5) expect(await cached.read(at, 5)).toEqual(content.slice(at, at + 5));
    expect(warnings).toEqual(["file is not kept in the browser's storage, the rest of it will be downloaded again next time: no room"]);
    expect(source.asked.reduce((sum, [, length]) => sum + length, 0)).toBe(95);
  });

  it('passes errors on and can be read again', async () => {
    const source = server();
    let broken = true;
    const cached = cachedSource({ ...source, read: async (offset, length) => { if (broken) throw new Error('cut'); return source.read(offset, length); } }, memoryFile());
    await expect(cached.read(0, 5)).rejects.toThrow('cut');
    broken = false;
    expect(await cached.read(0, 5)).toEqual(content.slice(0, 5));
    await expect(cached.read(90, 6)).rejects.toThrow('cannot read 6 bytes at offset 90 of 95');
  });
});

describe('keptBody', () => {
  async function* chunks(...sizes: number[]): AsyncGenerator<Uint8Array> {
    let at = 0;
    for (const size of sizes) yield content.subarray(at, at += size);
  }

  it('keeps a body of any chunks, and does not receive it a second time', async () => {
    const file = memoryFile();
    const loaded: number[] = [];
    const source = await keptBody('file', 95, chunks(3, 7, 25, 1, 0, 59), file, (count) => loaded.push(count));
    expect(await source.read(0, 95)).toEqual(content);
    expect(loaded).toEqual([3, 10, 35, 36, 36, 95]);
    const never = (async function* () { yield* [] as Uint8Array[]; throw new Error('asked'); })();
    expect(await (await keptBody('file', 95, never, file)).read(20, 5)).toEqual(content.slice(20, 25));
  });

  it('refuses a body that ends early or finds no room', async () => {
    await expect(keptBody('file', 95, chunks(50), memoryFile())).rejects.toThrow('the connection ended before byte 95');
    await expect(keptBody('file', 95, chunks(95), memoryFile(3))).rejects.toThrow('no room');
  });
});
