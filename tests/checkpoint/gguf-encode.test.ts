// Encoding float32 numbers in bulk, against one number at a time and against decoding.

import { describe, expect, it } from 'vitest';
import { encodeFloat32 } from '../../src/checkpoint/encode.js';
import { quantiseQ4 } from '../../src/checkpoint/gguf/quantise.js';
import { dequantize } from '../../src/checkpoint/index.js';
import { bf16Bits, f16Bits } from '../../src/tensor/dtype.js';
import { random } from './gguf-files.js';

/** Every kind of float32: all exponents, fractions around what rounding looks at, both signs. */
const everyKind = (): Float32Array => {
  const words: number[] = [];
  for (let exponent = 0; exponent < 256; exponent++) {
    for (const fraction of [0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0x18000, 0x7fefff, 0x7ff000, 0x7fffff]) {
      words.push((exponent << 23) | fraction, ((exponent << 23) | fraction | 0x80000000) >>> 0);
    }
  }
  return new Float32Array(Uint32Array.from(words).buffer);
};

describe('encodeFloat32', () => {
  it.each([['f16', f16Bits], ['bf16', bf16Bits]] as const)('rounds to %s as for single numbers, whatever the number', (type, single) => {
    const values = everyKind();
    expect(new Uint16Array(encodeFloat32(type, values).buffer)).toEqual(Uint16Array.from(values, single));
    expect(encodeFloat32(type, values.subarray(1, 4))).toEqual(encodeFloat32(type, values).slice(2, 8));
  });

  it('quantises to q8_0 with halves away from zero', () => {
    const values = new Float32Array(32);
    values.set([127, -127, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 0.49, -0.49, 126.5, -126.5]);
    const bytes = encodeFloat32('q8_0', values);
    expect([bytes[0], bytes[1]]).toEqual([0x00, 0x3c]);
    expect(Array.from(new Int8Array(bytes.buffer, 2, 12))).toEqual([127, -127, 1, -1, 2, -2, 3, -3, 0, 0, 127, -127]);
  });

  const noise = (): Float32Array => {
    const next = random(3);
    return Float32Array.from({ length: 3200 }, () => (next(2000) - 1000) * 1e-3);
  };

  it('keeps q8_0 within half a step (and what its f16 scale is off) and Q4_0 within one', () => {
    const values = noise();
    const [q8, q4] = [dequantize('Q8_0', encodeFloat32('q8_0', values)), dequantize('Q4_0', quantiseQ4(values))];
    for (let b = 0; b < values.length; b += 32) {
      const largest = Math.max(...values.subarray(b, b + 32).map(Math.abs));
      for (let i = b; i < b + 32; i++) {
        expect(Math.abs(q8[i] - values[i])).toBeLessThanOrEqual((largest / 127) * 0.57);
        expect(Math.abs(q4[i] - values[i])).toBeLessThanOrEqual((largest / 8) * 1.002);
      }
    }
  });

  it('gives the value of largest magnitude to Q4_0 as -8 steps, and zeros as zeros', () => {
    const values = new Float32Array(64);
    values[5] = -4;
    values[20] = 3;
    const decoded = dequantize('Q4_0', quantiseQ4(values));
    // As in ggml, a negative step makes zeros negative.
    expect([decoded[5], decoded[20], Math.abs(decoded[0])]).toEqual([-4, 3, 0]);
    expect(decoded.subarray(32).every((value) => value === 0)).toBe(true);
    expect(() => quantiseQ4(new Float32Array(33))).toThrow('blocks of 32');
  });
});
