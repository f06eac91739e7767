// What decoding a block needs whatever its format: the decoder's shape and readers of little-endian
// fields. Formats are in `dequantize.ts`, `k-quants.ts` and `i-quants.ts`, and those that tensors can
// keep in `../../tensor/blocks.ts`.

export { halfAt } from '../../tensor/dtype.js';
export type { BlockDecoder } from '../../tensor/dtype.js';

/** The 32 little-endian bits at a byte offset; negative where the highest is set. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}
