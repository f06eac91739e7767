// Blocks of GGUF's tensor types as float32 numbers. Each value is the exact product that the format
// defines, rounded to float32 once, so results equal ggml's to the last bit.
// The formats themselves are ggml's (ggml-common.h): those that tensors can keep in `blocks.ts` of the
// tensor room, other 32-value blocks below, 256-value K blocks in `k-quants.ts`, codebook types in
// `i-quants.ts`.

import { BLOCKS, f16Table } from '../../tensor/dtype.js';
import { toFloat32 } from '../decode.js';
import { CheckpointError } from '../error.js';
import { halfAt, wordAt } from './block.js';
import type { BlockDecoder } from './block.js';
import { I_QUANTS, IQ4_VALUES } from './i-quants.js';
import { K_QUANTS } from './k-quants.js';
import { formatOf } from './types.js';
import type { GgufType } from './types.js';

/** The two 4-bit halves of 16 bytes: value i is the low half of byte i, value i + 16 the high one. */
function nibbles(bytes: Uint8Array, at: number, out: Float32Array, o: number, value: (nibble: number, i: number) => number): void {
  for (let i = 0; i < 16; i++) {
    out[o + i] = value(bytes[at + i] & 15, i);
    out[o + 16 + i] = value(bytes[at + i] >> 4, i + 16);
  }
}

/** f16 scale and minimum; 4-bit values. */
const q4_1: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, m] = [halfAt(bytes, at, half), halfAt(bytes, at + 2, half)];
  nibbles(bytes, at + 4, out, o, (q) => d * q + m);
};

/** f16 scale; 32 fifth bits, 4-bit values; around 16. */
const q5_0: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, fifth] = [halfAt(bytes, at, half), wordAt(bytes, at + 2)];
  nibbles(bytes, at + 6, out, o, (q, i) => d * ((q | (((fifth >>> i) & 1) << 4)) - 16));
};

/** f16 scale and minimum; 32 fifth bits, 4-bit values. */
const q5_1: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, m, fifth] = [halfAt(bytes, at, half), halfAt(bytes, at + 2, half), wordAt(bytes, at + 4)];
  nibbles(bytes, at + 8, out, o, (q, i) => d * (q | (((fifth >>> i) & 1) << 4)) + m);
};

/** f16 scale; 4-bit places in a table of 16 unevenly spaced values. */
const iq4_nl: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at, half);
  nibbles(bytes, at + 2, out, o, (q) => d * IQ4_VALUES[q]);
};

/** Twice the values of the e2m1 float (OCP Microscaling Formats 1.0). */
const E2M1_DOUBLED = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** An e8m0 scale (a bare power of two), halved because the values are doubled; e2m1 values. */
const mxfp4: BlockDecoder = (bytes, at, out, o) => {
  const d = 2 ** (bytes[at] - 128);
  nibbles(bytes, at + 1, out, o, (q) => d * E2M1_DOUBLED[q]);
};

const DECODERS: Readonly<Partial<Record<GgufType, BlockDecoder>>> = {
  Q4_0: BLOCKS.q4_0.decode, Q4_1: q4_1, Q5_0: q5_0, Q5_1: q5_1, Q8_0: BLOCKS.q8_0.decode, IQ4_NL: iq4_nl, MXFP4: mxfp4, ...K_QUANTS, ...I_QUANTS,
};

/**
 * The numbers that a tensor's bytes stand for. `type` is spelled as GGUF writes it: 'Q4_K', 'F16', …
 * For F32 the result may share the memory of `bytes`.
 * Throws CheckpointError for an unknown type or when the bytes are not whole blocks.
 */
export function dequantize(type: string, bytes: Uint8Array): Float32Array {
  const { values, bytes: size } = formatOf(type);
  const decode = DECODERS[type as GgufType];
  if (!decode) return toFloat32(type, bytes);
  if (bytes.length % size !== 0) throw new CheckpointError(`${bytes.length} bytes are not a whole number of ${type} blocks of ${size} bytes`);
  const blocks = bytes.length / size;
  const out = new Float32Array(blocks * values);
  const half = f16Table();
  for (let b = 0; b < blocks; b++) decode(bytes, b * size, out, b * values, half);
  return out;
}
