// Float32 numbers as stored bytes: what requantising while loading, and saving, write.
// q8_0 follows ggml: per 32 numbers of a row one f16 scale, max |x| / 127, and rounded int8.

import { bf16Bits, f16Bits, Q8_0_BLOCK, Q8_0_BYTES } from '../tensor/dtype.js';
import { CheckpointError } from './error.js';

export type EncodedType = 'f32' | 'f16' | 'bf16' | 'q8_0';

/** Encodes numbers; for q8_0 their count must be a multiple of 32, and so must every row's. */
export function encodeFloat32(type: EncodedType, values: Float32Array): Uint8Array {
  switch (type) {
    case 'f32': return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
    case 'f16': return new Uint8Array(Uint16Array.from(values, f16Bits).buffer);
    case 'bf16': return new Uint8Array(Uint16Array.from(values, bf16Bits).buffer);
    case 'q8_0': return quantiseQ8(values);
    default: return type satisfies never;
  }
}

function quantiseQ8(values: Float32Array): Uint8Array {
  if (values.length % Q8_0_BLOCK !== 0) throw new CheckpointError(`q8_0 takes blocks of ${Q8_0_BLOCK} numbers, got ${values.length}`);
  const out = new Uint8Array((values.length / Q8_0_BLOCK) * Q8_0_BYTES);
  const view = new DataView(out.buffer);
  for (let b = 0, at = 0; b < values.length; b += Q8_0_BLOCK, at += Q8_0_BYTES) {
    let largest = 0;
    for (let i = 0; i < Q8_0_BLOCK; i++) largest = Math.max(largest, Math.abs(values[b + i]));
    const scale = Math.fround(largest / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setUint16(at, f16Bits(scale), true);
    for (let i = 0; i < Q8_0_BLOCK; i++) {
      const x = Math.fround(values[b + i] * inverse);
      view.setInt8(at + 2 + i, Math.sign(x) * Math.round(Math.abs(x))); // halves away from zero, as roundf
    }
  }
  return out;
}
