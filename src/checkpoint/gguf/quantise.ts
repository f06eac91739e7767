// Float32 numbers as Q4_0 blocks, by ggml's reference rule: the value of largest magnitude becomes
// exactly -8 steps, so that the step's sign is its own. Q8_0 is in `../encode.ts`.

import { f16Bits } from '../../tensor/dtype.js';
import { CheckpointError } from '../error.js';
import { FORMATS } from './types.js';

const { values: BLOCK, bytes: BYTES } = FORMATS.Q4_0;

/** Encodes numbers, whose count must be a multiple of 32, and so must every row's. */
export function quantiseQ4(values: Float32Array): Uint8Array {
  if (values.length % BLOCK !== 0) throw new CheckpointError(`Q4_0 takes blocks of ${BLOCK} numbers, got ${values.length}`);
  const out = new Uint8Array((values.length / BLOCK) * BYTES);
  const view = new DataView(out.buffer);
  for (let b = 0, at = 0; b < values.length; b += BLOCK, at += BYTES) {
    let extreme = 0;
    for (let i = b; i < b + BLOCK; i++) if (Math.abs(values[i]) > Math.abs(extreme)) extreme = values[i];
    const step = Math.fround(extreme / -8);
    const inverse = step === 0 ? 0 : Math.fround(1 / step);
    view.setUint16(at, f16Bits(step), true);
    const place = (i: number): number => Math.min(15, Math.trunc(Math.fround(Math.fround(values[i] * inverse) + 8.5)));
    for (let i = 0; i < BLOCK / 2; i++) out[at + 2 + i] = place(b + i) | (place(b + BLOCK / 2 + i) << 4);
  }
  return out;
}
