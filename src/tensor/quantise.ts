// Float32 numbers as q8_0: what weights are requantised to, and what keys and values may be kept as.

import { f16Bits, Q8_0_BLOCK, Q8_0_BYTES } from './dtype.js';

/** Whole blocks of 32 numbers as q8_0. It follows ggml: an f16 scale, max |x| / 127, and rounded int8. */
export function quantiseQ8(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / Q8_0_BLOCK) * Q8_0_BYTES);
  for (let b = 0, at = 0; b < values.length; b += Q8_0_BLOCK, at += Q8_0_BYTES) {
    let largest = 0;
    for (let i = b; i < b + Q8_0_BLOCK; i++) {
      const size = Math.abs(values[i]);
      if (size > largest) largest = size;
    }
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const half = f16Bits(scale);
    out[at] = half & 255;
    out[at + 1] = half >> 8;
    for (let i = 0; i < Q8_0_BLOCK; i++) {
      const x = Math.fround(values[b + i] * inverse);
      out[at + 2 + i] = (x < 0 ? x - 0.5 : x + 0.5) | 0; // cut off: halves away from zero, as roundf
    }
  }
  return out;
}
