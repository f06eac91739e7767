// Element types: every bit pattern decodes and encodes back, rounding is to nearest even, and rows
// of every storage format decode to the numbers they stand for.

import { describe, expect, it } from 'vitest';
import { encodeFloat32 } from '../../src/checkpoint/encode.js';
import { bf16Bits, byteLength, decodeRow, elementBytes, fitsBlocks, F8_E4M3_TABLE, f16Bits, f16Table, f32FromBits, scaleOffset, View } from '../../src/tensor/index.js';
import type { Spec } from '../../src/tensor/index.js';
import { noise, relativeError } from '../support.js';

describe('f16', () => {
  it('every pattern survives', () => {
    const table = f16Table();
    for (let half = 0; half < 65536; half++) if (!Number.isNaN(table[half])) expect(f16Bits(table[half])).toBe(half);
  });
  it('rounds to nearest, halves to even, and overflows to infinity', () => {
    const table = f16Table();
    for (let half = 0; half < 0x7bff; half += 7) {
      const [low, high] = [table[half], table[half + 1]];
      const middle = (low + high) / 2;
      expect(f16Bits(middle)).toBe(half % 2 === 0 ? half : half + 1);
      expect(f16Bits(middle + (high - low) / 8)).toBe(half + 1);
      expect(f16Bits(-middle + (high - low) / 8)).toBe((half) | 0x8000);
    }
    expect([f16Bits(65519), f16Bits(65520), f16Bits(1e9), f16Bits(-Infinity), f16Bits(NaN)]).toEqual([0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7e00]);
  });
});

describe('bf16', () => {
  it('every pattern survives, and rounding is to nearest even', () => {
    for (let code = 0; code < 65536; code++) {
      const value = f32FromBits(code << 16);
      if (!Number.isNaN(value)) expect(bf16Bits(value)).toBe(code);
    }
    expect(bf16Bits(f32FromBits(0x3f808000))).toBe(0x3f80);
    expect(bf16Bits(f32FromBits(0x3f818000))).toBe(0x3f82);
    expect(bf16Bits(f32FromBits(0x3f808001))).toBe(0x3f81);
    expect(Number.isNaN(f32FromBits(bf16Bits(NaN) << 16))).toBe(true);
  });
});

it('e4m3 has the values of the format', () => {
  expect([0x00, 0x01, 0x07, 0x08, 0x38, 0x7e, 0xfe].map((code) => F8_E4M3_TABLE[code])).toEqual([0, 2 ** -9, 7 * 2 ** -9, 2 ** -6, 1, 448, -448]);
  expect(Number.isNaN(F8_E4M3_TABLE[0x7f]) && Number.isNaN(F8_E4M3_TABLE[0xff])).toBe(true);
});

describe('rows', () => {
  const values = noise(6 * 64, 4);
  const rows = (spec: Spec, bytes: Uint8Array) => {
    const out = new Float32Array(6 * 64);
    for (let r = 0; r < 6; r++) decodeRow(spec, bytes, r, out.subarray(r * 64, (r + 1) * 64));
    return out;
  };
  for (const [dtype, step] of [['f32', 0], ['f16', 2 ** -11], ['bf16', 2 ** -8], ['q8_0', 0.51 / 127], ['q4_0', 1.002 / 8]] as const) {
    it(`of ${dtype} decode to what was encoded`, () => {
      const spec: Spec = { shape: [2, 3, 64], dtype };
      const bytes = encodeFloat32(dtype, values);
      expect(bytes.length).toBe(byteLength(spec));
      expect(relativeError(rows(spec, bytes), values)).toBeLessThanOrEqual(step);
      expect(new View(spec, bytes).toFloat32()).toEqual(rows(spec, bytes));
      const shifted = new Uint8Array(bytes.length + 1);
      shifted.set(bytes, 1);
      if (dtype !== 'f32') expect(rows(spec, shifted.subarray(1))).toEqual(rows(spec, bytes));
    });
  }
  it('of FP8 are scaled by the block of their own matrix', () => {
    const spec: Spec = { shape: [2, 3, 64], dtype: 'f8_e4m3', scaleBlock: [2, 48] };
    const bytes = new Uint8Array(byteLength(spec)).fill(0x38); // all ones
    const scales = new Float32Array(bytes.buffer, scaleOffset(spec), 8);
    scales.set([1, 2, 3, 4, 5, 6, 7, 8]); // matrix 0: two rows of blocks, two columns; matrix 1 the same
    const got = rows(spec, bytes);
    expect([0, 1, 2, 3, 4, 5].map((r) => [got[r * 64], got[r * 64 + 47], got[r * 64 + 48]])).toEqual([[1, 1, 2], [1, 1, 2], [3, 3, 4], [5, 5, 6], [5, 5, 6], [7, 7, 8]]);
    expect(byteLength(spec)).toBe(6 * 64 + 8 * 4);
  });
  for (const [dtype, values] of [['q8_0', 32], ['q4_0', 32], ['q4_k', 256], ['q6_k', 256]] as const) it(`of ${dtype} must be whole blocks`, () => {
    expect(() => elementBytes({ shape: [4, values + 1], dtype })).toThrow(`${dtype} needs rows of a multiple of ${values} numbers, got shape [4, ${values + 1}]`);
    expect([fitsBlocks(dtype, 2 * values), fitsBlocks(dtype, values / 2), fitsBlocks('f16', values / 2)]).toEqual([true, false, true]);
  });
  it('of q4_0 are steps around 8, the low halves of bytes first', () => {
    const bytes = new Uint8Array(18).fill(0x88);
    bytes.set([0x00, 0x38, 0xf0], 0); // half a unit a step; numbers 0 and 16
    bytes[17] = 0x19; // numbers 15 and 31
    const out = new Float32Array(32);
    decodeRow({ shape: [1, 32], dtype: 'q4_0' }, bytes, 0, out);
    expect([out[0], out[1], out[15], out[16], out[31]]).toEqual([-4, 0, 0.5, 3.5, -3.5]);
  });
  it('of q4_k have a scale and a minimum for every 32 numbers', () => {
    const bytes = new Uint8Array(144);
    bytes.set([0x00, 0x3c, 0x00, 0x38]); // 1 and a half
    bytes.set([0xc1, 0, 0, 0, 0x42, 0, 0, 0, 0x35], 4); // run 0: 1, 2; run 4: 5 + 48, 3 + 16
    bytes.fill(0x21, 16, 48); // runs 0 and 1
    bytes.fill(0x02, 80, 112); // run 4: twos
    const out = new Float32Array(256);
    decodeRow({ shape: [256], dtype: 'q4_k' }, bytes, 0, out);
    expect([out[0], out[31], out[32], out[128], out[160]]).toEqual([1 - 1, 1 - 1, 0, 2 * 53 - 19 / 2, 0]);
  });
  it('of q6_k have a signed scale for every 16 numbers', () => {
    const bytes = new Uint8Array(210);
    bytes.set([0x00, 0x3c], 208);
    bytes[192] = 2;
    bytes[193] = 0xff; // -1
    bytes[0] = 0x05;
    bytes[16] = 0x0f;
    bytes[128] = 0x03;
    const out = new Float32Array(256);
    decodeRow({ shape: [256], dtype: 'q6_k' }, bytes, 0, out);
    expect([out[0], out[1], out[16], out[17], Math.abs(out[32])]).toEqual([2 * (5 + 48 - 32), -64, -(15 - 32), 32, 0]);
  });
});
