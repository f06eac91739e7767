// What decoding a block needs whatever its format: the decoder's shape and readers of little-endian
// fields. Formats are in `dequantize.ts`, `k-quants.ts` and `i-quants.ts`.

/**
 * Decodes one block, whose bytes start at `at`, into `out` from `o` on. `half` gives every f16 as a
 * number; it is handed in because looking it up per block costs more than the block.
 */
export type BlockDecoder = (bytes: Uint8Array, at: number, out: Float32Array, o: number, half: Float32Array) => void;

/** The f16 at a byte offset. */
export function halfAt(bytes: Uint8Array, at: number, half: Float32Array): number {
  return half[bytes[at] | (bytes[at + 1] << 8)];
}

/** The 32 little-endian bits at a byte offset; negative where the highest is set. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

/** A byte as a signed number. */
export const signed = (byte: number): number => (byte << 24) >> 24;
