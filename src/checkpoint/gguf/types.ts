// The element types of GGUF tensors: their number in the file, how many values a block holds and in
// how many bytes. A row of a tensor is a whole number of blocks. Decoding is in `dequantize.ts`.

import { CheckpointError, quoted } from '../error.js';

export interface BlockFormat {
  /** ggml's number for the type, as files write it. */
  readonly id: number;
  /** Values per block; 1 for plain numbers. */
  readonly values: number;
  /** Bytes per block. */
  readonly bytes: number;
}

// Gaps in the numbers are types that ggml has removed, or keeps for activations (Q8_1, Q8_K) and
// never writes to a file.
export const FORMATS = {
  F32: { id: 0, values: 1, bytes: 4 },
  F16: { id: 1, values: 1, bytes: 2 },
  Q4_0: { id: 2, values: 32, bytes: 18 },
  Q4_1: { id: 3, values: 32, bytes: 20 },
  Q5_0: { id: 6, values: 32, bytes: 22 },
  Q5_1: { id: 7, values: 32, bytes: 24 },
  Q8_0: { id: 8, values: 32, bytes: 34 },
  Q2_K: { id: 10, values: 256, bytes: 84 },
  Q3_K: { id: 11, values: 256, bytes: 110 },
  Q4_K: { id: 12, values: 256, bytes: 144 },
  Q5_K: { id: 13, values: 256, bytes: 176 },
  Q6_K: { id: 14, values: 256, bytes: 210 },
  IQ2_XXS: { id: 16, values: 256, bytes: 66 },
  IQ2_XS: { id: 17, values: 256, bytes: 74 },
  IQ3_XXS: { id: 18, values: 256, bytes: 98 },
  IQ1_S: { id: 19, values: 256, bytes: 50 },
  IQ4_NL: { id: 20, values: 32, bytes: 18 },
  IQ3_S: { id: 21, values: 256, bytes: 110 },
  IQ2_S: { id: 22, values: 256, bytes: 82 },
  IQ4_XS: { id: 23, values: 256, bytes: 136 },
  I8: { id: 24, values: 1, bytes: 1 },
  I16: { id: 25, values: 1, bytes: 2 },
  I32: { id: 26, values: 1, bytes: 4 },
  I64: { id: 27, values: 1, bytes: 8 },
  F64: { id: 28, values: 1, bytes: 8 },
  IQ1_M: { id: 29, values: 256, bytes: 56 },
  BF16: { id: 30, values: 1, bytes: 2 },
  TQ1_0: { id: 34, values: 256, bytes: 54 },
  TQ2_0: { id: 35, values: 256, bytes: 66 },
  MXFP4: { id: 39, values: 32, bytes: 17 },
} as const satisfies Record<string, BlockFormat>;

/** A GGUF type name: 'F32', 'Q8_0', 'Q4_K', 'IQ2_XXS', … */
export type GgufType = keyof typeof FORMATS;

const NAMES: ReadonlyMap<number, GgufType> = new Map(
  Object.entries(FORMATS).map(([name, { id }]) => [id, name as GgufType]),
);

/** The type that a file's number stands for; undefined for one that is not known here. */
export function typeOfId(id: number): GgufType | undefined {
  return NAMES.get(id);
}

export function isGgufType(name: string): name is GgufType {
  return Object.hasOwn(FORMATS, name);
}

/** Whether values of a type share scales in blocks; false for plain numbers and for what GGUF does not have. */
export function isBlockFormat(name: string): boolean {
  return isGgufType(name) && FORMATS[name].values > 1;
}

/** The format of a type. Throws CheckpointError for a name that GGUF does not have. */
export function formatOf(type: string): BlockFormat {
  if (!isGgufType(type)) throw new CheckpointError(`${quoted(type)} is not a GGUF tensor type; known are ${Object.keys(FORMATS).join(', ')}`);
  return FORMATS[type];
}

/** Values per block of a type. */
export function blockSize(type: string): number {
  return formatOf(type).values;
}

/** Bytes per block of a type. */
export function blockBytes(type: string): number {
  return formatOf(type).bytes;
}

/** Bytes of `count` values, which must fill whole blocks. */
export function bytesOfValues(type: string, count: number): number {
  const { values, bytes } = formatOf(type);
  if (count % values !== 0) throw new CheckpointError(`${type} takes blocks of ${values} numbers, got ${count}`);
  return (count / values) * bytes;
}
