// Block formats: 32 or 256 numbers of a row packed into a few bytes with shared scales. The layouts
// are ggml's (ggml-common.h). Each value is the exact product that the format defines, rounded to
// float32 once, so results equal ggml's to the last bit.

/**
 * Decodes one block, whose bytes start at `at`, into `out` from `o` on. `half` gives every f16 as a
 * number; it is handed in because looking it up per block costs more than the block.
 */
export type BlockDecoder = (bytes: Uint8Array, at: number, out: Float32Array, o: number, half: Float32Array) => void;

export interface Block {
  /** Numbers of a block, and the bytes they take. */
  readonly values: number;
  readonly bytes: number;
  /** Where its f16 scales lie: the numbers are finite when these are. */
  readonly scales: readonly number[];
  readonly decode: BlockDecoder;
}

/** The f16 at a byte offset. */
export function halfAt(bytes: Uint8Array, at: number, half: Float32Array): number {
  return half[bytes[at] | (bytes[at + 1] << 8)];
}

/** A byte as a signed number. */
export const signed = (byte: number): number => (byte << 24) >> 24;

/** f16 scale; int8 values. */
const q8_0: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at, half);
  for (let i = 0; i < 32; i++) out[o + i] = d * signed(bytes[at + 2 + i]);
};

/** f16 scale; 4-bit values around 8: value i is the low half of byte i, value i + 16 the high one. */
const q4_0: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at, half);
  for (let i = 0; i < 16; i++) {
    out[o + i] = d * ((bytes[at + 2 + i] & 15) - 8);
    out[o + 16 + i] = d * ((bytes[at + 2 + i] >> 4) - 8);
  }
};

/** The 6-bit scale and minimum of run j (of 8), packed in 12 bytes. */
export function sixBits(bytes: Uint8Array, at: number, j: number): [scale: number, minimum: number] {
  if (j < 4) return [bytes[at + j] & 63, bytes[at + 4 + j] & 63];
  const low = bytes[at + 4 + j];
  return [(low & 15) | ((bytes[at + j - 4] >> 6) << 4), (low >> 4) | ((bytes[at + j] >> 6) << 4)];
}

/** f16 scale of scales and of minima, 8 x (6-bit scale, minimum), 4-bit values. */
const q4_k: BlockDecoder = (bytes, at, out, o, half) => {
  const [d, dmin] = [halfAt(bytes, at, half), halfAt(bytes, at + 2, half)];
  for (let j = 0; j < 8; j++) {
    const [scale, minimum] = sixBits(bytes, at + 4, j);
    const [dl, ml, from, shift] = [d * scale, dmin * minimum, at + 16 + 32 * (j >> 1), (j & 1) << 2];
    for (let i = 0; i < 32; i++) out[o + 32 * j + i] = dl * ((bytes[from + i] >> shift) & 15) - ml;
  }
};

/** 4 low bits and 2 high bits per value, around 32; 16 int8 scales; f16 scale. */
const q6_k: BlockDecoder = (bytes, at, out, o, half) => {
  const d = halfAt(bytes, at + 208, half);
  for (let i = 0; i < 256; i++) {
    // Each half of the block: 64 bytes of low bits as two runs of 64, 32 bytes of high bits as four of 32.
    const [part, run] = [i >> 7, (i >> 5) & 3];
    const low = (bytes[at + 64 * part + (i & 63)] >> ((run >> 1) << 2)) & 15;
    const high = (bytes[at + 128 + 32 * part + (i & 31)] >> (run << 1)) & 3;
    out[o + i] = d * signed(bytes[at + 192 + (i >> 4)]) * ((low | (high << 4)) - 32);
  }
};

/** The block formats that tensors can have here. */
export const BLOCKS = {
  q8_0: { values: 32, bytes: 34, scales: [0], decode: q8_0 },
  q4_0: { values: 32, bytes: 18, scales: [0], decode: q4_0 },
  q4_k: { values: 256, bytes: 144, scales: [0, 2], decode: q4_k },
  q6_k: { values: 256, bytes: 210, scales: [208], decode: q6_k },
} as const satisfies Record<string, Block>;

export type BlockType = keyof typeof BLOCKS;

/** Whether an element type is a block format. */
export function isBlockType(dtype: string): dtype is BlockType {
  return Object.hasOwn(BLOCKS, dtype);
}

/** Whether rows of this many numbers are whole blocks; true for types with one number per element. */
export function fitsBlocks(dtype: string, rowLength: number): boolean {
  return !isBlockType(dtype) || rowLength % BLOCKS[dtype].values === 0;
}
