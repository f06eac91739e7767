// Reading and writing GGUF files as such: headers, damaged ones, split files, the writer.

import { writeFile } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError, readGguf, toFloat32, writeGguf } from '../../src/checkpoint/index.js';
import type { ByteSource } from '../../src/platform/index.js';
import { array, f32, f64, ggufFile, join, key, random, raw, str, tensor, u16, u32, u64, u8 } from './gguf-files.js';
import { collect, expectRefusal, folder } from './helpers.js';

const everyType = [
  key('a.u8', 'uint8', u8(200)), key('a.i8', 'int8', u8(200)), key('a.u16', 'uint16', u16(60000)), key('a.i16', 'int16', u16(60000)),
  key('a.u32', 'uint32', u32(4e9)), key('a.i32', 'int32', u32(4e9)), key('a.f32', 'float32', f32(0.5)), key('a.f64', 'float64', f64(0.1)),
  key('a.bool', 'bool', u8(1)), key('a.string', 'string', str('żółw\n')), key('a.u64', 'uint64', u64(2n ** 53n - 1n)),
  key('a.large', 'uint64', u64(2n ** 64n - 1n)), key('a.i64', 'int64', u64(2n ** 64n - 5n)), key('a.least', 'int64', u64(2n ** 63n)),
  key('a.strings', 'array', array('string', [str(''), str('x'), str('a longer text than the short ones')])),
  key('a.numbers', 'array', array('int32', [u32(1), u32(2 ** 32 - 1)])), key('a.empty', 'array', array('float32', [])),
  key('a.nested', 'array', array('array', [array('uint8', [u8(1)]), array('bool', [u8(0), u8(1)])])),
];
const values: Record<string, unknown> = {
  'a.u8': 200, 'a.i8': -56, 'a.u16': 60000, 'a.i16': -5536, 'a.u32': 4e9, 'a.i32': 4e9 - 2 ** 32, 'a.f32': 0.5, 'a.f64': 0.1, 'a.bool': true,
  'a.string': 'żółw\n', 'a.u64': 2 ** 53 - 1, 'a.large': 2n ** 64n - 1n, 'a.i64': -5, 'a.least': -(2n ** 63n),
  'a.strings': ['', 'x', 'a longer text than the short ones'], 'a.numbers': [1, -1], 'a.empty': [], 'a.nested': [[1], [false, true]],
};

describe('readGguf', () => {
  it('reads values of every type', async () => {
    const file = await readGguf(ggufFile({ keys: everyType }));
    expect(Object.fromEntries(file.metadata)).toEqual(values);
    expect(file.tensors.size).toBe(0);
  });

  it.each([2, 3])('lists tensors row-major and reads them on demand (version %i)', async (version) => {
    const tensors = [tensor({ name: 'b', dims: [32, 3], type: 8 }), tensor({ name: 'a', dims: [2, 3, 4], offset: 128 }), tensor({ name: 'one', dims: [], offset: 224 })];
    const file = await readGguf(ggufFile({ version: u32(version), tensors, data: 228 }));
    expect([...file.tensors.values()].map(({ name, dtype, shape, byteLength }) => [name, dtype, shape, byteLength]))
      .toEqual([['b', 'Q8_0', [3, 32], 102], ['a', 'F32', [4, 3, 2], 96], ['one', 'F32', [], 4]]);
    expect(await file.tensors.get('a')!.readRange(1, 3)).toEqual(Uint8Array.of(129, 130, 131));
    expect(await file.tensors.get('one')!.read()).toEqual(Uint8Array.of(224, 225, 226, 227));
    await expectRefusal(file.tensors.get('b')!.readRange(100, 3), 'cannot read 3 bytes at 100', '"b"');
  });

  it('follows another alignment', async () => {
    const header = ggufFile({ keys: [key('general.alignment', 'uint32', u32(8))], tensors: [tensor({ name: 'x' }), tensor({ name: 'y', offset: 8 })] });
    const start = Math.ceil(header.length / 8) * 8;
    const bytes = new Uint8Array(start + 16);
    bytes.set(header);
    bytes[start + 8] = 7;
    expect((await (await readGguf(bytes)).tensors.get('y')!.read())[0]).toBe(7);
  });

  it('opens paths and Blobs alike, and closes what it opened', async () => {
    const bytes = ggufFile({ tensors: [tensor({ name: 'x' })], data: 8 });
    const path = joinPath(await folder({ 'x.gguf': bytes }), 'x.gguf');
    for (const source of [path, new Blob([bytes as BlobPart])]) {
      const file = await readGguf(source);
      expect((await file.tensors.get('x')!.read()).length).toBe(8);
      await file.close();
    }
    let closed = 0;
    const source: ByteSource = { name: 's', size: 4, read: async () => new Uint8Array(4), close: async () => void closed++ };
    await expectRefusal(readGguf(source), 's has 4 bytes, too few');
    expect(closed).toBe(1);
  });

  it('reads each byte of a large header once, in few reads', async () => {
    const texts = Array.from({ length: 200_000 }, (_, i) => str(`token ${i}`));
    const bytes = ggufFile({ keys: [key('tokens', 'array', array('string', texts))], tensors: [tensor({ name: 'x', dims: [2 ** 20] })], data: 2 ** 22 });
    const reads: [number, number][] = [];
    const read = async (offset: number, length: number) => (reads.push([offset, length]), bytes.slice(offset, offset + length));
    const file = await readGguf({ name: 'watched', size: bytes.length, read, close: async () => {} });
    expect((file.metadata.get('tokens') as string[])[199_999]).toBe('token 199999');
    reads.reduce((end, [offset, length]) => (expect(offset).toBe(end), offset + length), 0);
    expect(reads.length).toBeLessThan(8);
    expect(reads.at(-1)![0]).toBeLessThan(bytes.length - 2 ** 22);
  });
});

const x = tensor({ name: 'x' });
const refused: [why: string, file: Uint8Array, ...patterns: (string | RegExp)[]][] = [
  ['another format', ggufFile({ magic: 'PK\x03\x04' }), 'is not a GGUF file: it starts with "PK'],
  ['a Git LFS pointer', new TextEncoder().encode('version https://git-lfs.github.com/spec/v1'), 'Git LFS pointer'],
  ['a file from before GGUF', ggufFile({ magic: 'tjgg' }), 'before GGUF'],
  ['version 1', ggufFile({ version: u32(1) }), 'version 1; versions 2 and 3'],
  ['version 4', ggufFile({ version: u32(4) }), 'version 4'],
  ['version 0', ggufFile({ version: u32(0) }), 'version 0'],
  ['big-endian', ggufFile({ version: Uint8Array.of(0, 0, 0, 3) }), 'big-endian GGUF file'],
  ['an empty file', new Uint8Array(0), 'has 0 bytes, too few'],
  ['more tensors than fit', ggufFile({ claimedTensors: 1000 }), 'claims 1000 tensors, more than its 24 bytes can hold'],
  ['2^64 tensors', ggufFile({ claimedTensors: 2n ** 64n - 1n }), 'claims 18446744073709551615 tensors, the limit is'],
  ['more keys than fit', ggufFile({ claimedKeys: 1000 }), 'claims 1000 metadata keys, more than'],
  ['2^64 keys', ggufFile({ claimedKeys: 2n ** 64n - 1n }), 'metadata keys, the limit is'],
  ['a key that repeats', ggufFile({ keys: [key('k', 'uint8', u8(1)), key('k', 'uint8', u8(1))] }), 'has the metadata key "k" twice'],
  ['a key too long', ggufFile({ keys: [join(u64(2 ** 20), u64(0), u64(0))] }), 'a metadata key claims 1048576 bytes, the limit is 65535'],
  ['a key that is no text', ggufFile({ keys: [join(raw(Uint8Array.of(0xff)), u32(0), u8(1))] }), 'a metadata key is not valid UTF-8'],
  ['an unknown value type', ggufFile({ keys: [join(str('k'), u32(13), u8(1))] }), 'value of the unknown type 13'],
  ['a boolean of 2', ggufFile({ keys: [key('k', 'bool', u8(2))] }), 'should be true (1) or false (0), its byte is 2'],
  ['a string too long', ggufFile({ keys: [key('k', 'string', u64(2n ** 63n))] }), 'the value of "k" claims 9223372036854775808 bytes, the limit is 67108864'],
  ['a string cut short', ggufFile({ keys: [key('k', 'string', u64(1000))] }), 'cut short'],
  ['an array of an unknown type', ggufFile({ keys: [key('k', 'array', join(u32(99), u64(0)))] }), 'elements of the unknown type 99'],
  ['an array longer than the file', ggufFile({ keys: [key('k', 'array', array('uint8', [], 2n ** 62n))] }), 'claims 4611686018427388000 elements, more than'],
  ['an array of strings longer than the file', ggufFile({ keys: [key('k', 'array', array('string', [str('')], 2))] }), 'claims 2 elements'],
  ['arrays too deep', ggufFile({ keys: [key('k', 'array', array('array', [array('array', [array('array', [array('uint8', [])])])]))] }), 'more than 3 deep'],
  ['arrays too large together', ggufFile({ keys: [key('k', 'array', array('uint8', [new Uint8Array(2 ** 24 + 1)], 2 ** 24 + 1))] }), 'more than 16777216 elements together'],
  ['a header cut short', ggufFile({ keys: everyType.slice(0, 1) }).slice(0, -1), 'cut short: its header needs'],
  ['a tensor name too long', ggufFile({ tensors: [join(u64(2000), new Uint8Array(40))] }), "a tensor's name claims 2000 bytes"],
  ['a tensor that repeats', ggufFile({ tensors: [x, tensor({ name: 'x', offset: 32 })], data: 64 }), 'tensor "x" is listed twice'],
  ['five axes', ggufFile({ tensors: [tensor({ name: 'x', dims: [1, 1, 1, 1, 1] })], data: 8 }), 'claims 5 axes'],
  ['2^32 axes', ggufFile({ tensors: [tensor({ name: 'x', axes: 2 ** 32 - 1 })], data: 8 }), 'claims 4294967295 axes'],
  ['a shape that overflows', ggufFile({ tensors: [tensor({ name: 'x', dims: [2 ** 30, 2 ** 30, 2 ** 30] })], data: 8 }), 'more than any file can hold'],
  ['a shape that overflows to 0', ggufFile({ tensors: [tensor({ name: 'x', dims: [2n ** 63n, 4] })], data: 8 }), '[9223372036854775808, 4]'],
  ['an overflow behind an extent of 0', ggufFile({ tensors: [tensor({ name: 'x', dims: [2n ** 63n, 0] })], data: 8 }), 'more than any file can hold'],
  ['an unknown tensor type', ggufFile({ tensors: [tensor({ name: 'x', type: 4 })], data: 8 }), 'type number 4, which is not known'],
  ['rows that are not whole blocks', ggufFile({ tensors: [tensor({ name: 'x', dims: [33], type: 8 })], data: 64 }), 'rows of 33 numbers, but Q8_0 takes blocks of 32'],
  ['an offset off its alignment', ggufFile({ tensors: [tensor({ name: 'x', offset: 4 })], data: 32 }), 'offset 4, which is not a multiple of the alignment 32'],
  ['an offset behind the end', ggufFile({ tensors: [tensor({ name: 'x', offset: 64 })], data: 64 }), 'but the file has'],
  ['an offset of 2^64', ggufFile({ tensors: [tensor({ name: 'x', offset: 2n ** 64n - 32n })], data: 64 }), "beyond any file's end"],
  ['data cut short', ggufFile({ tensors: [x], data: 7 }), 'cut short or still downloading'],
  ['tensors that overlap', ggufFile({ tensors: [tensor({ name: 'y', dims: [16] }), tensor({ name: 'x', offset: 32 })], data: 64 }), 'tensors "y" and "x" overlap'],
  ['an alignment of 0', ggufFile({ keys: [key('general.alignment', 'uint32', u32(0))] }), 'must be a power of two'],
  ['an alignment of 24', ggufFile({ keys: [key('general.alignment', 'uint32', u32(24))] }), 'it is "24"'],
  ['an alignment of 2^31', ggufFile({ keys: [key('general.alignment', 'uint32', u32(2 ** 31))] }), 'must be a power of two'],
  ['an alignment that is no number', ggufFile({ keys: [key('general.alignment', 'string', str('32'))] }), 'must be a power of two'],
  ['a name with line breaks', ggufFile({ tensors: [tensor({ name: 'a\nb\u2028c', type: 4 })], data: 8 }), 'type number 4'],
];

describe('a damaged or hostile file is refused:', () => {
  it.each(refused)('%s', async (_, file, ...patterns) => {
    await expectRefusal(readGguf(file), 'GGUF bytes', ...patterns);
  });

  it('every header cut anywhere', async () => {
    const file = ggufFile({ keys: everyType, tensors: [x, tensor({ name: 'y', offset: 32 })], data: 40 });
    for (let length = 0; length < file.length; length++) await expectRefusal(readGguf(file.slice(0, length)));
  });

  it('random changes give a CheckpointError or a file that lies within its bytes', async () => {
    const next = random(1);
    const good = ggufFile({ keys: everyType, tensors: [x, tensor({ name: 'y', dims: [32, 2], type: 8, offset: 32 })], data: 128 });
    const end = performance.now() + 2000;
    let [accepted, refusals] = [0, 0];
    while (performance.now() < end && accepted + refusals < 20_000) {
      const file = good.slice(0, next(8) === 0 ? next(good.length) : good.length);
      for (let changes = 1 + next(4); changes > 0; changes--) file[next(file.length)] = [0, 1, 0x7f, 0x80, 0xff, next(256)][next(6)];
      try {
        const { tensors } = await readGguf(file);
        for (const stored of tensors.values()) expect((await stored.read()).length).toBe(stored.byteLength);
        accepted++;
      } catch (error) {
        expect(error).toBeInstanceOf(CheckpointError);
        expect((error as Error).message).not.toMatch(/[\r\n\u2028\u2029]/);
        refusals++;
      }
    }
    expect(Math.min(accepted, refusals)).toBeGreaterThan(50);
  });
});

describe('a split file', () => {
  const part = (no: number, name: string, { count = 3, total = 3 } = {}) => ggufFile({
    keys: [...(no === 0 ? [key('general.name', 'string', str('whole'))] : []), key('split.no', 'uint16', u16(no)), key('split.count', 'uint16', u16(count)), key('split.tensors.count', 'int32', u32(total))],
    tensors: [tensor({ name })], data: join(f32(no), f32(0)),
  });
  const fileName = (i: number) => `m-0000${i}-of-00003.gguf`;
  const parts = () => folder({ [fileName(1)]: part(0, 'a'), [fileName(2)]: part(1, 'b'), [fileName(3)]: part(2, 'c') });

  it.each([1, 2, 3])('opens as one, whichever part is given (%i)', async (given) => {
    const file = await readGguf(joinPath(await parts(), fileName(given)));
    expect([...file.tensors.keys()]).toEqual(['a', 'b', 'c']);
    expect(file.metadata.get('general.name')).toBe('whole');
    expect(toFloat32('F32', await file.tensors.get('c')!.read())[0]).toBe(2);
    await file.close();
  });

  it('is refused when a part is missing, of another model, or given alone', async () => {
    const path = await parts();
    const first = joinPath(path, fileName(1));
    await writeFile(joinPath(path, fileName(3)), part(2, 'c', { count: 4 }));
    await expectRefusal(readGguf(first), '00003-of-00003.gguf does not say that it is part 3 of 3');
    await writeFile(joinPath(path, fileName(3)), part(2, 'a'));
    await expectRefusal(readGguf(first), 'tensor "a" is in two parts');
    await expectRefusal(readGguf(joinPath(await folder({ [fileName(1)]: part(0, 'a') }), fileName(1))), 'its other part m-00002-of-00003.gguf is missing');
    await expectRefusal(readGguf(part(0, 'a')), 'one of the 3 parts', '-00001-of-00003.gguf');
    await expectRefusal(readGguf(part(0, 'a', { count: 60000 })), 'one of 60000 parts, the limit is 4096');
    const other = await folder({ [fileName(1)]: part(0, 'a', { total: 9 }), [fileName(2)]: part(1, 'b'), [fileName(3)]: part(2, 'c') });
    await expectRefusal(readGguf(joinPath(other, fileName(1))), 'have 3 tensors, the first says 9');
  });
});

describe('writeGguf', () => {
  it('writes what readGguf reads, of the length it says', async () => {
    const block = Uint8Array.from({ length: 34 }, (_, i) => i);
    const stream = writeGguf([
      ['general.architecture', 'llama'], ['yes', true], ['n', { type: 'uint32', value: 7 }], ['theta', { type: 'float32', value: 10000 }], ['big', { type: 'uint64', value: 2n ** 60n }],
      ['low', { type: 'int64', value: -2 }], ['byte', { type: 'int8', value: -1 }], ['exact', { type: 'float64', value: 0.1 }], ['short', { type: 'uint16', value: 65535 }],
      ['tokens', { type: 'array', of: 'string', values: ['a', 'ż'] }], ['types', { type: 'array', of: 'int32', values: [1, -3] }], ['flags', { type: 'array', of: 'bool', values: [true, false] }],
    ], [
      { name: 'q', dtype: 'Q8_0', shape: [1, 32], data: block },
      { name: 'v', dtype: 'F32', shape: [2], data: async function* () { yield new Uint8Array(3); yield new Uint8Array(5).fill(1); } },
    ]);
    const bytes = await collect(stream);
    expect(bytes.length).toBe(stream.byteLength);
    const file = await readGguf(bytes);
    expect(Object.fromEntries(file.metadata)).toEqual({
      'general.architecture': 'llama', yes: true, n: 7, theta: 10000, big: 2n ** 60n, low: -2, byte: -1, exact: 0.1, short: 65535, tokens: ['a', 'ż'], types: [1, -3], flags: [true, false],
    });
    expect(await file.tensors.get('q')!.read()).toEqual(block);
    expect(file.tensors.get('q')!.shape).toEqual([1, 32]);
    expect(await file.tensors.get('v')!.read()).toEqual(Uint8Array.of(0, 0, 0, 1, 1, 1, 1, 1));
  });

  it('refuses what no reader would take', async () => {
    const data = new Uint8Array(0);
    expect(() => writeGguf([['k', true], ['k', false]], [])).toThrow(/"k" is given twice/);
    expect(() => writeGguf([], [{ name: 'a', dtype: 'F32', shape: [0], data }, { name: 'a', dtype: 'F32', shape: [0], data }])).toThrow(/same name/);
    expect(() => writeGguf([], [{ name: 'a', dtype: 'F8_E4M3', shape: [0], data }])).toThrow(/is not a GGUF tensor type/);
    expect(() => writeGguf([], [{ name: 'a', dtype: 'F32', shape: [1, 1, 1, 1, 1], data }])).toThrow(/at most four/);
    expect(() => writeGguf([], [{ name: 'a', dtype: 'Q8_0', shape: [33], data }])).toThrow(/blocks of 32/);
    expect(() => writeGguf([], [{ name: 'a'.repeat(64), dtype: 'F32', shape: [0], data }])).toThrow(/more than 63 bytes/);
    await expectRefusal(collect(writeGguf([], [{ name: 'a', dtype: 'F32', shape: [1], data }])), 'needs 4 bytes, its data has 0');
  });
});
