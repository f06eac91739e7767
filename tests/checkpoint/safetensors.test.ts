import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError, readSafetensors, toFloat32, writeSafetensors } from '../../src/checkpoint/index.js';
import type { ByteSource } from '../../src/platform/index.js';
import { collect, expectRefusal, folder, hasReferenceModels, rawFile, referenceModels, vectors } from './helpers.js';

const f32 = (shape: number[], begin: number, end: number) => ({ dtype: 'F32', shape, data_offsets: [begin, end] });

describe('readSafetensors', () => {
  it('lists tensors in the order of their bytes and reads them on demand', async () => {
    const file = await readSafetensors(rawFile({ b: f32([2], 4, 12), a: f32([], 0, 4), none: f32([0, 3], 12, 12), __metadata__: { format: 'pt' } }, 12));
    expect(file.metadata).toEqual({ format: 'pt' });
    expect([...file.tensors.keys()]).toEqual(['a', 'b', 'none']);
    const b = file.tensors.get('b')!;
    expect(b).toMatchObject({ name: 'b', dtype: 'F32', shape: [2], byteLength: 8 });
    expect(await b.read()).toEqual(Uint8Array.of(4, 5, 6, 7, 8, 9, 10, 11));
    expect(await b.readRange(1, 3)).toEqual(Uint8Array.of(5, 6, 7));
    expect(await file.tensors.get('none')!.read()).toEqual(new Uint8Array(0));
    await expectRefusal(b.readRange(6, 3), 'cannot read 3 bytes at 6', '"b"');
  });

  it('gives bytes that belong to the caller', async () => {
    const bytes = Buffer.from(vectors({ a: 1 }));
    const a = (await readSafetensors(bytes)).tensors.get('a')!;
    (await a.read()).fill(0);
    expect(toFloat32('F32', await a.read())).toEqual(Float32Array.of(1));
  });

  it('opens paths, Blobs and sources alike', async () => {
    const bytes = vectors({ a: 3 });
    const path = join(await folder({ 'x.safetensors': bytes }), 'x.safetensors');
    for (const source of [path, new Blob([bytes as BlobPart])]) {
      const file = await readSafetensors(source);
      expect(toFloat32('F32', await file.tensors.get('a')!.read())).toEqual(Float32Array.of(1, 2, 3));
      expect(file.tensors.get('a')!.file).toBe(source === path ? path : 'blob');
      await file.close();
    }
    await expect(readSafetensors(join(path, 'nothing'))).rejects.toThrow(/nothing: /);
  });

  it('reads nothing but length and header on opening', async () => {
    const bytes = vectors({ a: 1000 });
    const reads: [number, number][] = [];
    const source: ByteSource = {
      name: 'watched',
      size: bytes.length,
      read: async (offset, length) => (reads.push([offset, length]), bytes.slice(offset, offset + length)),
      close: async () => {},
    };
    const file = await readSafetensors(source);
    expect(reads).toEqual([[0, 8], [8, bytes.length - 4008]]);
    await file.tensors.get('a')!.readRange(400, 4);
    expect(reads[2]).toEqual([bytes.length - 3600, 4]);
  });

  it('closes the source when the file is refused', async () => {
    let closed = 0;
    const source: ByteSource = { name: 's', size: 4, read: async () => new Uint8Array(4), close: async () => void closed++ };
    await expectRefusal(readSafetensors(source), 's has 4 bytes');
    expect(closed).toBe(1);
  });

  it('inspects a shard of 10 GB in well under a second', async () => {
    const size = 10_000_000_000;
    const json = JSON.stringify({ huge: { dtype: 'BF16', shape: [size / 2], data_offsets: [0, size] } });
    const path = join(await folder(), 'big.safetensors');
    await writeFile(path, rawFile(json));
    await truncate(path, 8 + json.length + size);
    const started = performance.now();
    const file = await readSafetensors(path);
    expect(performance.now() - started).toBeLessThan(1000);
    const huge = file.tensors.get('huge')!;
    expect(huge.byteLength).toBe(size);
    expect(await huge.readRange(size - 4, 4)).toEqual(new Uint8Array(4));
    await file.close();
  });

  it('says so when a file shrinks after it was opened', async () => {
    const path = join(await folder({ 'x.safetensors': vectors({ a: 4 }) }), 'x.safetensors');
    const file = await readSafetensors(path);
    await truncate(path, 75);
    await expect(file.tensors.get('a')!.read()).rejects.toThrow(/x\.safetensors ends at byte 75.*changed while being read/);
    await file.close();
  });
});

describe('a damaged or hostile safetensors file is refused in one line', () => {
  const one = f32([1], 0, 4);
  const cases: [string, Uint8Array, RegExp | string][] = [
    ['an empty file', new Uint8Array(0), 'has 0 bytes'],
    ['fewer than 8 bytes', new Uint8Array(7), 'has 7 bytes'],
    ['a header of no bytes', new Uint8Array(16), 'header is empty'],
    ['a header beyond the file', rawFile({ a: one }, 4, 5000), /cut short.*5008/],
    ['a header beyond the limit', rawFile({}, 0, 100_000_001), 'claims a header of 100000001'],
    ['a header length beyond 2^53', Uint8Array.from({ length: 16 }, () => 255), 'claims a header'],
    ['a Git LFS pointer', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\noid sha256:00'), 'Git LFS pointer'],
    ['a GGUF file', new TextEncoder().encode('GGUF\x03\0\0\0\0\0\0\0'), 'GGUF'],
    ['a header that is not JSON', rawFile('{"a": '), 'not valid JSON'],
    ['a header that is not UTF-8', rawFile({ a: one }, 4).map((byte, i) => (i === 10 ? 0xff : byte)), 'not valid JSON'],
    ['a header that is an array', rawFile('[1, 2]'), "does not start with '{'"],
    ['JSON nested without end', rawFile(`{"a":${'['.repeat(100_000)}`), 'not valid JSON'],
    ['an entry that is null', rawFile({ a: null }), 'not described by an object'],
    ['an entry that is an array', rawFile({ a: [] }), 'not described by an object'],
    ['no dtype', rawFile({ a: { shape: [1], data_offsets: [0, 4] } }, 4), 'unknown dtype undefined'],
    ['an unknown dtype', rawFile({ a: { ...one, dtype: 'F33' } }, 4), 'unknown dtype "F33"'],
    ['a dtype that is a property of every object', rawFile({ a: { ...one, dtype: 'constructor' } }, 4), 'unknown dtype "constructor"'],
    ['a dtype that is a number', rawFile({ a: { ...one, dtype: 32 } }, 4), 'unknown dtype 32'],
    ['no shape', rawFile({ a: { dtype: 'F32', data_offsets: [0, 4] } }, 4), 'shape undefined'],
    ['a negative extent', rawFile({ a: { ...one, shape: [-1] } }, 4), 'shape [-1], expected'],
    ['a fractional extent', rawFile({ a: { ...one, shape: [0.5, 2] } }, 4), 'non-negative integers'],
    ['an extent as text', rawFile({ a: { ...one, shape: ['1'] } }, 4), 'non-negative integers'],
    ['an extent beyond 2^53', rawFile('{"a":{"dtype":"F32","shape":[9007199254740993],"data_offsets":[0,4]}}', 4), 'non-negative integers'],
    ['a shape that overflows', rawFile({ a: { ...one, shape: [2 ** 40, 2 ** 40] } }, 4), 'more bytes than any file'],
    ['a shape that overflows before a zero', rawFile({ a: { ...f32([2 ** 40, 2 ** 40, 0], 0, 0) } }), 'more bytes than any file'],
    ['no offsets', rawFile({ a: { dtype: 'F32', shape: [1] } }, 4), 'data_offsets undefined'],
    ['one offset', rawFile({ a: { ...one, data_offsets: [4] } }, 4), 'data_offsets'],
    ['offsets the wrong way round', rawFile({ a: { ...one, data_offsets: [4, 0] } }, 4), 'data_offsets'],
    ['a negative offset', rawFile({ a: { ...one, data_offsets: [-4, 0] } }, 4), 'data_offsets'],
    ['bytes other than shape and dtype need', rawFile({ a: f32([2], 0, 4) }, 4), /"a" \(F32 \[2\]\) needs 8 bytes, its data_offsets give 4/],
    ['half a byte', rawFile({ a: { dtype: 'F4', shape: [3], data_offsets: [0, 1] } }, 1), 'middle of a byte'],
    ['offsets outside the file', rawFile({ a: one }, 2), /ends at byte 4 of the data, but the file has 2.*cut short/],
    ['tensors that overlap', rawFile({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), '"b" overlaps'],
    ['two tensors over the same bytes', rawFile({ a: one, b: one }, 4), 'overlaps'],
    ['a hole between tensors', rawFile({ a: one, b: f32([1], 8, 12) }, 12), '"b" leaves a hole'],
    ['a hole at the start', rawFile({ a: f32([1], 4, 8) }, 8), '"a" leaves a hole'],
    ['bytes behind the last tensor', rawFile({ a: one }, 9), '5 bytes behind the last tensor'],
    ['a name given twice', rawFile(`{"a":${JSON.stringify(one)},"a":${JSON.stringify(one)}}`, 4), 'key "a" twice'],
    ['a name given twice in different spelling', rawFile(`{"a":${JSON.stringify(one)},"\\u0061":${JSON.stringify(one)}}`, 4), 'key "a" twice'],
    ['a field given twice', rawFile('{"a":{"dtype":"F16","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4), 'key "dtype" twice'],
    ['a tensor called __proto__', rawFile(`{"__proto__":${JSON.stringify(one)}}`, 4), '"__proto__"'],
    ['metadata that is not an object', rawFile({ __metadata__: 'pt' }), '__metadata__ is not an object'],
    ['metadata values that are not text', rawFile({ __metadata__: { format: 1 } }), '"format" is not a string'],
    ['a long name with line breaks', rawFile({ ['x\n\u2028'.repeat(1000)]: 1 }), 'not described by an object'],
  ];
  it.each(cases)('%s', async (_, bytes, message) => {
    await expectRefusal(readSafetensors(bytes), message);
  });

  it('leaves the prototypes of all objects alone', async () => {
    const fields = { shape: [1], data_offsets: [0, 4], dtype: 'F32' };
    await expectRefusal(readSafetensors(rawFile(`{"a":{"__proto__":${JSON.stringify(fields)}}}`, 4)), 'unknown dtype');
    expect(({} as Record<string, unknown>).shape).toBeUndefined();
    const file = await readSafetensors(rawFile({ constructor: f32([1], 0, 4), toString: f32([1], 4, 8) }, 8));
    expect([...file.tensors.keys()]).toEqual(['constructor', 'toString']);
  });

  it('names the file', async () => {
    const path = join(await folder({ 'short.safetensors': rawFile({ a: one }, 2) }), 'short.safetensors');
    await expectRefusal(readSafetensors(path), /short\.safetensors: tensor "a"/);
  });

  it('survives mutated files: each is parsed or refused', async () => {
    const seed = rawFile({ __metadata__: { format: 'pt' }, a: f32([2, 1], 0, 8), 'b.weight': { dtype: 'BF16', shape: [4], data_offsets: [8, 16] } }, 16);
    const spices = ['"', '{', '}', '[', ']', ',', ':', '-', '1e99', '0', '\\', '\\u0000', 'null', '"a"', '__proto__', '9'.repeat(30), '\xff'];
    let state = 12345;
    const random = (limit: number): number => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % limit;
    const until = performance.now() + 2000;
    let parsed = 0;
    let refused = 0;
    for (let round = 0; round < 20_000 && performance.now() < until; round++) {
      let bytes = Buffer.from(seed);
      for (let edit = 0; edit <= random(3); edit++) {
        const at = random(bytes.length);
        const kind = random(4);
        if (kind === 0) bytes[at] ^= 1 << random(8);
        else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(4))]);
        else if (kind === 2) bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from(spices[random(spices.length)], 'latin1'), bytes.subarray(at)]);
        else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(bytes.length), random(bytes.length))]);
        if (bytes.length === 0) break;
        // Otherwise nearly every edit would only show that the length is wrong.
        if (bytes.length > 24 && random(2)) bytes.writeBigUInt64LE(BigInt(bytes.length - 24));
      }
      try {
        const file = await readSafetensors(bytes);
        for (const tensor of file.tensors.values()) expect(await tensor.read()).toHaveLength(tensor.byteLength);
        parsed++;
      } catch (error) {
        if (!(error instanceof CheckpointError) || /[\r\n]/.test(error.message)) throw error;
        refused++;
      }
    }
    expect(parsed).toBeGreaterThan(10);
    expect(refused).toBeGreaterThan(100);
  });
});

describe('writeSafetensors', () => {
  const tensors = [
    { name: 'norm', dtype: 'BF16', shape: [3], data: Uint8Array.of(1, 2, 3, 4, 5, 6) },
    { name: 'w.b', dtype: 'F32', shape: [1, 2], data: async () => new Uint8Array(new Float32Array([1.5, -2]).buffer) },
    { name: 'w.a', dtype: 'F32', shape: [], data: async function* () { yield Uint8Array.of(0, 0); yield Uint8Array.of(128, 63); } },
    { name: 'empty', dtype: 'I64', shape: [0], data: new Uint8Array(0) },
  ];

  it('writes what the reader reads, padded and aligned', async () => {
    const stream = writeSafetensors(tensors, { made_by: 'a test' });
    const bytes = await collect(stream);
    expect(bytes).toHaveLength(stream.byteLength);
    const headerLength = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(headerLength % 8).toBe(0);
    expect(JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerLength)))).toEqual({
      __metadata__: { format: 'pt', made_by: 'a test' },
      empty: { dtype: 'I64', shape: [0], data_offsets: [0, 0] },
      'w.a': { dtype: 'F32', shape: [], data_offsets: [0, 4] },
      'w.b': { dtype: 'F32', shape: [1, 2], data_offsets: [4, 12] },
      norm: { dtype: 'BF16', shape: [3], data_offsets: [12, 18] },
    });
    const file = await readSafetensors(bytes);
    expect(toFloat32('F32', await file.tensors.get('w.a')!.read())).toEqual(Float32Array.of(1));
    expect(toFloat32('F32', await file.tensors.get('w.b')!.read())).toEqual(Float32Array.of(1.5, -2));
    expect(await file.tensors.get('norm')!.read()).toEqual(tensors[0].data);
  });

  it('asks for one tensor at a time', async () => {
    const order: string[] = [];
    const lazy = ['a', 'b'].map((name) => ({ name, dtype: 'U8', shape: [1], data: async () => (order.push(name), Uint8Array.of(7)) }));
    const chunks = writeSafetensors(lazy)[Symbol.asyncIterator]();
    await chunks.next();
    expect(order).toEqual([]);
    await chunks.next();
    expect(order).toEqual(['a']);
  });

  it('refuses what no reader would accept', async () => {
    const tensor = { name: 'a', dtype: 'F32', shape: [1], data: new Uint8Array(4) };
    expect(() => writeSafetensors([tensor, tensor])).toThrow('"a" is given twice');
    expect(() => writeSafetensors([{ ...tensor, dtype: 'f32' }])).toThrow('does not know');
    expect(() => writeSafetensors([{ ...tensor, shape: [-1] }])).toThrow('non-negative');
    expect(() => writeSafetensors([{ ...tensor, name: '__metadata__' }])).toThrow('no tensor can be called');
    await expectRefusal(collect(writeSafetensors([{ ...tensor, data: new Uint8Array(3) }])), 'needs 4 bytes, its data has 3');
    await expectRefusal(collect(writeSafetensors([{ ...tensor, data: new Uint8Array(5) }])), 'its data has more');
  });
});

describe.skipIf(!hasReferenceModels)('reference models (../shared/reference)', () => {
  it('rewrites a checkpoint tensor for tensor', async () => {
    const path = join(referenceModels, 'deepseek_v3_fp8', 'model.safetensors');
    const original = await readSafetensors(path);
    const copy = await readSafetensors(await collect(writeSafetensors([...original.tensors.values()].map((tensor) => ({ ...tensor, data: tensor.read })))));
    expect(copy.tensors.size).toBe(original.tensors.size);
    expect(new Set([...original.tensors.values()].map((tensor) => tensor.dtype))).toEqual(new Set(['F8_E4M3', 'BF16', 'F32']));
    for (const [name, tensor] of original.tensors) {
      expect(copy.tensors.get(name)).toMatchObject({ dtype: tensor.dtype, shape: tensor.shape });
      expect(await copy.tensors.get(name)!.read()).toEqual(await tensor.read());
    }
    await original.close();
  });
});
