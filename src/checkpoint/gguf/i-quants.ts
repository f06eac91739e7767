// GGUF's IQ types: blocks of 256 values that are short vectors of a codebook (`grids.ts`), with
// signs and scales beside them, and the two types with a table of 16 values. The layouts are ggml's.

import { halfAt, wordAt } from './block.js';
import type { BlockDecoder } from './block.js';
import { grid } from './grids.js';

/** The values that 4 bits stand for in IQ4_NL and IQ4_XS. */
export const IQ4_VALUES = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

/** Seven sign bits and an eighth that makes their number even. */
const SIGNS = Uint8Array.from({ length: 128 }, (_, bits) => {
  let parity = bits;
  for (const shift of [4, 2, 1]) parity ^= parity >> shift;
  return bits | ((parity & 1) << 7);
});

/** Writes `width` values of codebook vector `index`, scaled; a set bit of `signs` negates. */
function vector(out: Float32Array, o: number, book: Int8Array, index: number, width: number, scale: number, signs: number): void {
  for (let i = 0; i < width; i++) {
    const value = scale * book[index * width + i];
    out[o + i] = (signs >> i) & 1 ? -value : value;
  }
}

/** f16 scale; per 32 values 4 bytes of indices and a word of 4 x 7 signs and a 4-bit scale. */
const iq2_xxs: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, book] = [halfAt(bytes, at, half), grid('IQ2_XXS')];
  for (let j = 0; j < 8; j++) {
    const [from, word] = [at + 2 + 8 * j, wordAt(bytes, at + 6 + 8 * j)];
    const scale = d * (0.5 + (word >>> 28)) * 0.25;
    for (let k = 0; k < 4; k++) vector(out, o + 32 * j + 8 * k, book, bytes[from + k], 8, scale, SIGNS[(word >>> (7 * k)) & 127]);
  }
};

/** f16 scale; 32 x (9-bit index, 7 signs); 16 4-bit scales. */
const iq2_xs: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, book] = [halfAt(bytes, at, half), grid('IQ2_XS')];
  for (let k = 0; k < 32; k++) {
    const code = bytes[at + 2 + 2 * k] | (bytes[at + 3 + 2 * k] << 8);
    const scale = (bytes[at + 66 + (k >> 2)] >> ((k & 2) << 1)) & 15;
    vector(out, o + 8 * k, book, code & 511, 8, d * (0.5 + scale) * 0.25, SIGNS[code >> 9]);
  }
};

/** f16 scale; 32 indices of 8 + 2 bits; 32 sign bytes; 16 4-bit scales. */
const iq2_s: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, book] = [halfAt(bytes, at, half), grid('IQ2_S')];
  for (let k = 0; k < 32; k++) {
    const index = bytes[at + 2 + k] | (((bytes[at + 66 + (k >> 2)] >> ((k & 3) << 1)) & 3) << 8);
    const scale = (bytes[at + 74 + (k >> 2)] >> ((k & 2) << 1)) & 15;
    vector(out, o + 8 * k, book, index, 8, d * (0.5 + scale) * 0.25, bytes[at + 34 + k]);
  }
};

/** f16 scale; 64 byte indices of 4 values; per 32 values a word of 4 x 7 signs and a 4-bit scale. */
const iq3_xxs: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, book] = [halfAt(bytes, at, half), grid('IQ3_XXS')];
  for (let j = 0; j < 8; j++) {
    const word = wordAt(bytes, at + 66 + 4 * j);
    const scale = d * (0.5 + (word >>> 28)) * 0.5;
    for (let k = 0; k < 8; k++) {
      const signs = SIGNS[(word >>> (7 * (k >> 1))) & 127] >> ((k & 1) << 2);
      vector(out, o + 32 * j + 4 * k, book, bytes[at + 2 + 8 * j + k], 4, scale, signs);
    }
  }
};

/** f16 scale; 64 indices of 8 + 1 bits; 32 sign bytes; 8 4-bit scales. */
const iq3_s: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, book] = [halfAt(bytes, at, half), grid('IQ3_S')];
  for (let k = 0; k < 64; k++) {
    const index = bytes[at + 2 + k] | (((bytes[at + 66 + (k >> 3)] >> (k & 7)) & 1) << 8);
    const scale = (bytes[at + 106 + (k >> 4)] >> ((k & 8) >> 1)) & 15;
    vector(out, o + 4 * k, book, index, 4, d * (1 + 2 * scale), bytes[at + 74 + (k >> 1)] >> ((k & 1) << 2));
  }
};

/** Writes 8 values -1, 0, 1 of IQ1's codebook, moved by `delta`, scaled. */
function shifted(out: Float32Array, o: number, index: number, scale: number, delta: number): void {
  const book = grid('IQ1');
  for (let i = 0; i < 8; i++) out[o + i] = scale * (book[index * 8 + i] + delta);
}

/** f16 scale; 32 indices of 8 + 3 bits; per 32 values a 3-bit scale and the sign of the shift by 1/8. */
const iq1_s: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at, half);
  for (let k = 0; k < 32; k++) {
    const high = bytes[at + 34 + 2 * (k >> 2)] | (bytes[at + 35 + 2 * (k >> 2)] << 8);
    const index = bytes[at + 2 + k] | (((high >> (3 * (k & 3))) & 7) << 8);
    shifted(out, o + 8 * k, index, d * (2 * ((high >> 12) & 7) + 1), high & 0x8000 ? -0.125 : 0.125);
  }
};

/** 32 indices of 8 + 3 bits, each with the sign of its shift; 16 3-bit scales, whose words' top bits are the f16 scale. */
const iq1_m: BlockDecoder = (bytes, at, out, o, half) => {
  const top = (i: number): number => bytes[at + 49 + 2 * i] >> 4;
  const d = half[top(0) | (top(1) << 4) | (top(2) << 8) | (top(3) << 12)];
  for (let k = 0; k < 32; k++) {
    const high = (bytes[at + 32 + (k >> 1)] >> ((k & 1) << 2)) & 15;
    const run = k >> 1;
    const scales = bytes[at + 48 + 2 * (run >> 2)] | (bytes[at + 49 + 2 * (run >> 2)] << 8);
    const scale = d * (2 * ((scales >> (3 * (run & 3))) & 7) + 1);
    shifted(out, o + 8 * k, bytes[at + k] | ((high & 7) << 8), scale, high & 8 ? -0.125 : 0.125);
  }
};

/** f16 scale; 8 6-bit scales around 32 (two high bits, four low bits); 4-bit places in the table. */
const iq4_xs: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at, half);
  const high = bytes[at + 2] | (bytes[at + 3] << 8);
  for (let j = 0; j < 8; j++) {
    const low = (bytes[at + 4 + (j >> 1)] >> ((j & 1) << 2)) & 15;
    const scale = d * ((low | (((high >> (2 * j)) & 3) << 4)) - 32);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 8 + 16 * j + i];
      out[o + 32 * j + i] = scale * IQ4_VALUES[byte & 15];
      out[o + 32 * j + 16 + i] = scale * IQ4_VALUES[byte >> 4];
    }
  }
};

export const I_QUANTS = {
  IQ2_XXS: iq2_xxs, IQ2_XS: iq2_xs, IQ2_S: iq2_s, IQ3_XXS: iq3_xxs, IQ3_S: iq3_s, IQ1_S: iq1_s, IQ1_M: iq1_m, IQ4_XS: iq4_xs,
};
