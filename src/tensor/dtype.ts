// Element types: how many bytes a tensor takes, and how stored bytes become float32 numbers.
//
// A weight keeps its storage type until a kernel reads it. Types with one number per element are
// `f32 f16 bf16 i32 f8_e4m3`; `q8_0 q4_0 q4_k q6_k` pack 32 or 256 numbers of a row into a block
// (GGUF's layouts: `blocks.ts`). `f8_e4m3` may carry float32 scales per block of rows and columns:
// then `Spec.scaleBlock` is set and the scales follow the bytes in the same buffer.

import { BLOCKS, isBlockType } from './blocks.js';
import type { BlockType } from './blocks.js';

export * from './blocks.js';

export type DType = 'f32' | 'f16' | 'bf16' | 'i32' | 'f8_e4m3' | BlockType;

/** Shape and element type of a tensor. Tensors are contiguous, last axis fastest. */
export interface Spec {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Only with `f8_e4m3`: rows and columns that share one float32 scale. */
  readonly scaleBlock?: readonly [rows: number, columns: number];
}

/** Numbers per q8_0 block and bytes per block. */
export const Q8_0_BLOCK = BLOCKS.q8_0.values;
export const Q8_0_BYTES = BLOCKS.q8_0.bytes;

const BYTES_PER_ELEMENT = { f32: 4, f16: 2, bf16: 2, i32: 4, f8_e4m3: 1 } as const;

export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const extent of shape) count *= extent;
  return count;
}

/** Bytes of the elements alone, without FP8 scales. */
export function elementBytes(spec: Spec): number {
  const count = elementCount(spec.shape);
  if (!isBlockType(spec.dtype)) return count * BYTES_PER_ELEMENT[spec.dtype];
  const { values, bytes } = BLOCKS[spec.dtype];
  if ((spec.shape.at(-1) ?? 0) % values !== 0) {
    throw new RangeError(`${spec.dtype} needs rows of a multiple of ${values} numbers, got shape [${spec.shape.join(', ')}]`);
  }
  return (count / values) * bytes;
}

/** The scale table behind FP8 elements: each matrix (the last two axes) has its own rows x columns. */
export function scaleGrid(spec: Spec): { matrices: number; rows: number; columns: number } | undefined {
  if (!spec.scaleBlock) return undefined;
  const [rows, columns] = [spec.shape.at(-2) ?? 1, spec.shape.at(-1) ?? 1];
  return {
    matrices: elementCount(spec.shape.slice(0, -2)),
    rows: Math.ceil(rows / spec.scaleBlock[0]),
    columns: Math.ceil(columns / spec.scaleBlock[1]),
  };
}

/** Offset in bytes of the FP8 scale table: behind the elements, aligned to 4. */
export function scaleOffset(spec: Spec): number {
  return Math.ceil(elementBytes(spec) / 4) * 4;
}

/** All bytes that a tensor of this spec takes. */
export function byteLength(spec: Spec): number {
  const grid = scaleGrid(spec);
  return grid ? scaleOffset(spec) + grid.matrices * grid.rows * grid.columns * 4 : elementBytes(spec);
}

const bits = new DataView(new ArrayBuffer(4));

export function f32FromBits(value: number): number {
  bits.setUint32(0, value >>> 0);
  return bits.getFloat32(0);
}

export function bitsFromF32(value: number): number {
  bits.setFloat32(0, value);
  return bits.getUint32(0);
}

function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Every f16 bit pattern as float32 (256 KiB, filled on first use). */
let halfTable: Float32Array | undefined;
export function f16Table(): Float32Array {
  halfTable ??= Float32Array.from({ length: 65536 }, (_, half) => halfToFloat(half));
  return halfTable;
}

/** Every e4m3 (finite, "fn") bit pattern as float32: no infinities, 0x7f and 0xff are NaN. */
export const F8_E4M3_TABLE = Float32Array.from({ length: 256 }, (_, byte) => {
  const sign = byte & 0x80 ? -1 : 1;
  const exponent = (byte >> 3) & 0xf;
  const fraction = byte & 7;
  if (exponent === 15 && fraction === 7) return NaN;
  return exponent === 0 ? sign * fraction * 2 ** -9 : sign * (1 + fraction / 8) * 2 ** (exponent - 7);
});

/** Rounds a number to f16, to nearest even, and returns its 16 bits. */
export function f16Bits(value: number): number {
  const x = bitsFromF32(value);
  const sign = (x >>> 16) & 0x8000;
  const magnitude = x & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;
  if (magnitude < 0x38800000) {
    // Subnormal: the value in units of 2^-24, rounded to nearest even by adding and removing 2^23.
    const units = Math.abs(f32FromBits(magnitude)) * 2 ** 24;
    const floor = Math.floor(units);
    const rest = units - floor;
    return sign | (rest > 0.5 || (rest === 0.5 && floor & 1) ? floor + 1 : floor);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | Math.min((rounded - 0x38000000) >>> 13, 0x7c00);
}

/** Rounds a number to bf16, to nearest even, and returns its 16 bits. */
export function bf16Bits(value: number): number {
  const x = bitsFromF32(value);
  if ((x & 0x7fffffff) > 0x7f800000) return (x >>> 16) | 0x40;
  return (x + 0x7fff + ((x >>> 16) & 1)) >>> 16;
}

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
