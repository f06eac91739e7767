import { describe, expect, it } from 'vitest';
import { CheckpointError, hasNonFinite, toFloat32 } from '../../src/checkpoint/index.js';

const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe('toFloat32', () => {
  it.each<[string, Uint8Array, number[]]>([
    ['F32', bytesOf(Float32Array.of(1.5, -0, 3e38)), [1.5, -0, Math.fround(3e38)]],
    ['F16', bytesOf(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00)), [1, -2, 2 ** -24, 65504, Infinity]],
    ['BF16', bytesOf(Uint16Array.of(0x3f80, 0xc040, 0x0001, 0xff80)), [1, -3, 2 ** -133, -Infinity]],
    ['F8_E4M3', bytes(0x38, 0xb8, 0x7e, 0x01, 0x7f), [1, -1, 448, 2 ** -9, NaN]],
    ['F8_E5M2', bytes(0x3c, 0xbc, 0x7b, 0x01, 0x7c), [1, -1, 57344, 2 ** -16, Infinity]],
    ['F8_E8M0', bytes(127, 0, 254, 255), [1, 2 ** -127, 2 ** 127, NaN]],
    ['F64', bytesOf(Float64Array.of(0.1, 1e300)), [Math.fround(0.1), Infinity]],
    ['I64', bytesOf(BigInt64Array.of(-5n, 2n ** 53n)), [-5, 2 ** 53]],
    ['U64', bytesOf(BigUint64Array.of(2n ** 63n)), [2 ** 63]],
    ['I32', bytesOf(Int32Array.of(-7, 16777217)), [-7, 16777216]],
    ['U32', bytesOf(Uint32Array.of(2 ** 31)), [2 ** 31]],
    ['I16', bytesOf(Int16Array.of(-300)), [-300]],
    ['U16', bytesOf(Uint16Array.of(65535)), [65535]],
    ['I8', bytes(255, 127), [-1, 127]],
    ['U8', bytes(255), [255]],
    ['BOOL', bytes(0, 1), [0, 1]],
  ])('decodes %s', (dtype, stored, expected) => {
    expect([...toFloat32(dtype, stored)]).toEqual(expected);
    // The same at an odd address, as within a file that was read whole.
    const shifted = new Uint8Array(stored.length + 1);
    shifted.set(stored, 1);
    expect([...toFloat32(dtype, shifted.subarray(1))]).toEqual(expected);
    expect([...toFloat32(dtype, Buffer.from(shifted.buffer, 1))]).toEqual(expected);
    expect(toFloat32(dtype, new Uint8Array(0))).toHaveLength(0);
  });

  it('refuses types and lengths that it cannot decode', () => {
    expect(() => toFloat32('C64', new Uint8Array(8))).toThrow(CheckpointError);
    expect(() => toFloat32('constructor', new Uint8Array(8))).toThrow('"constructor"');
    expect(() => toFloat32('F32', new Uint8Array(7))).toThrow('7 bytes are not a whole number of F32 elements');
  });
});

describe('hasNonFinite', () => {
  const widths: Record<string, number> = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1, F64: 8 };

  it.each(Object.keys(widths))('agrees with decoding for %s, whatever the place', (dtype) => {
    const width = widths[dtype];
    // Every pattern of the upper two bytes: sign, exponent and the head of the fraction.
    for (let pattern = 0; pattern < 65536; pattern += width === 1 ? 257 : 1) {
      const element = new Uint8Array(width);
      element[width - 1] = pattern >> 8;
      if (width > 1) element[width - 2] = pattern & 255;
      const place = (pattern % 5) * width;
      const stored = new Uint8Array(7 * width);
      stored.set(element, place);
      const value = width === 8 ? new DataView(element.buffer).getFloat64(0, true) : toFloat32(dtype, element)[0];
      if (hasNonFinite(dtype, stored) !== !Number.isFinite(value)) expect.fail(`${dtype} pattern ${pattern.toString(16)} at ${place}: ${value}`);
    }
  });

  it('looks at every element of a long tensor, its last included', () => {
    const stored = new Uint16Array(200_003).fill(0xbf80);
    expect(hasNonFinite('BF16', bytesOf(stored))).toBe(false);
    for (const place of [0, 70_000, 200_002]) {
      stored[place] = 0x7fc0;
      expect(hasNonFinite('BF16', bytesOf(stored))).toBe(true);
      expect(hasNonFinite('BF16', bytesOf(stored.subarray(1)))).toBe(place !== 0);
      stored[place] = 0xbf80;
    }
  });

  it.each([['Q8_0', 34, [0]], ['Q4_0', 18, [0]], ['Q4_K', 144, [0, 2]], ['Q6_K', 210, [208]]] as const)('looks at the scales of every %s block, and at nothing else', (type, size, places) => {
    const stored = new Uint8Array(size * 3).fill(0xff);
    for (let block = 0; block < 3; block++) for (const place of places) stored.set([0x00, 0x3c], size * block + place);
    expect(hasNonFinite(type, stored)).toBe(false);
    for (const scale of [0x7c00, 0xfc00, 0x7e01]) for (const place of places) {
      const damaged = stored.slice();
      damaged.set([scale & 255, scale >> 8], 2 * size + place);
      expect(hasNonFinite(type, damaged)).toBe(true);
    }
  });

  it('says no for integers and refuses unknown types', () => {
    for (const dtype of ['I64', 'I32', 'U8', 'BOOL']) expect(hasNonFinite(dtype, new Uint8Array(8).fill(255))).toBe(false);
    expect(() => hasNonFinite('F4', new Uint8Array(1))).toThrow(CheckpointError);
  });
});
