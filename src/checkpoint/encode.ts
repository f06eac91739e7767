// Float32 numbers as stored bytes: what requantising while loading, and saving, write.
// q8_0 is in `tensor/dtype.ts`, q4_0 in `gguf/quantise.ts`.

import { bf16Bits, f16Bits, Q8_0_BLOCK, quantiseQ8 } from '../tensor/dtype.js';
import { CheckpointError } from './error.js';
import { quantiseQ4 } from './gguf/quantise.js';

export type EncodedType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0';

/** Encodes numbers; for q8_0 and q4_0 their count must be a multiple of 32, and so must every row's. */
export function encodeFloat32(type: EncodedType, values: Float32Array): Uint8Array {
  switch (type) {
    case 'f32': return new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
    case 'f16': return halves(values, f16Bits, f16OfOrdinary);
    case 'bf16': return halves(values, bf16Bits, bf16OfOrdinary);
    case 'q8_0':
      if (values.length % Q8_0_BLOCK !== 0) throw new CheckpointError(`q8_0 takes blocks of ${Q8_0_BLOCK} numbers, got ${values.length}`);
      return quantiseQ8(values);
    case 'q4_0': return quantiseQ4(values);
    default: return type satisfies never;
  }
}

/**
 * Rounds every number to 16 bits. `exact` does it for any number; `ordinary` from the bits of one that
 * is neither tiny, huge, infinite nor NaN, and gives -1 for the others: ten times as fast.
 */
function halves(values: Float32Array, exact: (value: number) => number, ordinary: (bits: number) => number): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const half = ordinary(words[i]);
    out[i] = half >= 0 ? half : exact(values[i]);
  }
  return new Uint8Array(out.buffer);
}

function f16OfOrdinary(bits: number): number {
  const magnitude = bits & 0x7fffffff;
  // From the least normal f16 up to where rounding could reach infinity.
  if (magnitude < 0x38800000 || magnitude >= 0x477ff000) return -1;
  return ((bits >>> 16) & 0x8000) | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}

function bf16OfOrdinary(bits: number): number {
  return (bits & 0x7f800000) === 0x7f800000 ? -1 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
