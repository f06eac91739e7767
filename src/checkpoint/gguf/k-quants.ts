// GGUF's K types and the ternary types: blocks of 256 values, most with 4- or 6-bit scales of
// their own per 16 or 32 values. The layouts are ggml's (k_quants of llama.cpp, 2023).

import { BLOCKS, sixBits } from '../../tensor/dtype.js';
import { halfAt } from './block.js';
import type { BlockDecoder } from './block.js';

/** 16 x (4-bit scale, 4-bit minimum), 2-bit values, f16 scale of scales and of minima. */
const q2_K: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, dmin] = [halfAt(bytes, at + 80, half), halfAt(bytes, at + 82, half)];
  for (let i = 0; i < 256; i++) {
    const scale = bytes[at + (i >> 4)];
    out[o + i] = d * (scale & 15) * twoBits(bytes, at + 16, i) - dmin * (scale >> 4);
  }
};

/** Value i of 256 in 64 bytes: each 32 bytes hold four runs of 32 values, one in each bit pair. */
function twoBits(bytes: Uint8Array, at: number, i: number): number {
  return (bytes[at + ((i >> 7) << 5) + (i & 31)] >> (((i >> 5) & 3) << 1)) & 3;
}

/** A third bit per value (set: no offset of -4), 2-bit values, 16 6-bit scales around 32, f16 scale. */
const q3_K: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at + 108, half);
  for (let j = 0; j < 16; j++) {
    const low = (bytes[at + 96 + (j & 7)] >> ((j >> 3) << 2)) & 15;
    const high = (bytes[at + 104 + (j & 3)] >> ((j >> 2) << 1)) & 3;
    const scale = d * ((low | (high << 4)) - 32);
    for (let i = 16 * j; i < 16 * j + 16; i++) {
      const third = (bytes[at + (i & 31)] >> (i >> 5)) & 1;
      out[o + i] = scale * (twoBits(bytes, at + 32, i) - (third ? 0 : 4));
    }
  }
};

/** As Q4_K, with a fifth bit per value. */
const q5_K: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, dmin] = [halfAt(bytes, at, half), halfAt(bytes, at + 2, half)];
  for (let j = 0; j < 8; j++) {
    const [scale, minimum] = sixBits(bytes, at + 4, j);
    const [dl, ml, from, shift] = [d * scale, dmin * minimum, at + 48 + 32 * (j >> 1), (j & 1) << 2];
    for (let i = 0; i < 32; i++) {
      const fifth = (bytes[at + 16 + i] >> j) & 1;
      out[o + 32 * j + i] = dl * (((bytes[from + i] >> shift) & 15) | (fifth << 4)) - ml;
    }
  }
};

const POWERS_OF_3 = [1, 3, 9, 27, 81];

/** Digit `n` of a byte that holds five base-3 digits as a fraction of 256, highest first. */
function ternary(byte: number, n: number): number {
  return ((((byte * POWERS_OF_3[n]) & 255) * 3) >> 8) - 1;
}

/** Values -1, 0, 1: five to a byte (32 and then 16 bytes wide), the last 16 four to a byte; f16 scale. */
const tq1_0: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at + 52, half);
  for (let i = 0; i < 160; i++) out[o + i] = d * ternary(bytes[at + (i & 31)], i >> 5);
  for (let i = 0; i < 80; i++) out[o + 160 + i] = d * ternary(bytes[at + 32 + (i & 15)], i >> 4);
  for (let i = 0; i < 16; i++) out[o + 240 + i] = d * ternary(bytes[at + 48 + (i & 3)], i >> 2);
};

/** Values -1, 0, 1 in two bits each; f16 scale. */
const tq2_0: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at + 64, half);
  for (let i = 0; i < 256; i++) out[o + i] = d * (twoBits(bytes, at, i) - 1);
};

export const K_QUANTS = { Q2_K: q2_K, Q3_K: q3_K, Q4_K: BLOCKS.q4_k.decode, Q5_K: q5_K, Q6_K: BLOCKS.q6_k.decode, TQ1_0: tq1_0, TQ2_0: tq2_0 };
