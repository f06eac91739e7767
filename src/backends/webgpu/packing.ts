// Matrices in block formats as products read them best: the numbers of eight blocks side by side, then
// their scales, so that a lane gets 16 bytes of numbers in one read. A buffer is packed in place when a
// kernel is first given it, and unpacked before the host reads or writes it; kernels know it by its spec.

import { BLOCKS, byteLength } from '../../tensor/index.js';
import type { Spec } from '../../tensor/index.js';
import type { Bound, Capabilities, Dispatch } from './kernel.js';
import { LANES } from './kernel.js';

/** Blocks of a pack. */
const PACK_BLOCKS = 8;

/** Whether the backend packs a matrix of this kind: rows must be whole packs. */
export function isPacked({ dtype, shape }: Spec): boolean {
  return (dtype === 'q8_0' || dtype === 'q4_0') && (shape.length === 2 || shape.length === 3) && shape[shape.length - 1] % (32 * PACK_BLOCKS) === 0;
}

/** The dispatches that pack the blocks of a buffer in place, or unpack them; they name it as buffer 0. */
export function packing(spec: Spec, unpack: boolean, { bindingBytes }: Capabilities): Dispatch[] {
  const [bytes, block] = [byteLength(spec), BLOCKS[spec.dtype as 'q8_0' | 'q4_0'].bytes];
  const pack = PACK_BLOCKS * block;
  // Bindings begin at multiples of 256 bytes, as every sixteenth pack does.
  const most = Math.max(1, Math.floor(bindingBytes / (16 * pack))) * 16 * pack;
  return Array.from({ length: Math.ceil(bytes / most) }, (_, i): Dispatch => {
    const part = Math.min(most, bytes - i * most);
    const operand: Bound = { buffer: 0, spec: { shape: [part / 4], dtype: 'i32' }, offset: i * most };
    return {
      source: 'pack_blocks', parameters: { NUMBERS: block / 2 - 1, NIBBLES: spec.dtype === 'q4_0', UNPACK: unpack }, writes: [operand], reads: [],
      constants: [part / pack], groups: Math.ceil(part / pack / LANES), group: LANES,
    };
  });
}
