// What weights and caches take in each format: which tensors a format quantises, which it leaves,
// and the bytes of a row. The rules are those of the formats' own releases and of this engine.

import type { Parameter } from '../nn/index.js';
import { elementCount, Q8_0_BLOCK, Q8_0_BYTES } from '../tensor/index.js';
import type { ParameterCount, PartName } from './parameters.js';

export type WeightFormat = 'f32' | 'bf16' | 'f16' | 'fp8' | 'q8_0' | 'q4_0';
export type KvPrecision = 'f32' | 'bf16' | 'fp8' | 'q8_0';

export const weightFormats: readonly WeightFormat[] = ['f32', 'bf16', 'f16', 'fp8', 'q8_0', 'q4_0'];
export const kvPrecisions: readonly KvPrecision[] = ['f32', 'bf16', 'fp8', 'q8_0'];

/** Bytes per cached number. q8_0 keeps an f16 scale for every 32 of them. */
export const KV_BYTES: Readonly<Record<KvPrecision, number>> = { f32: 4, bf16: 2, fp8: 1, q8_0: Q8_0_BYTES / Q8_0_BLOCK };

/** Rows and columns that share one float32 scale in the FP8 releases (DeepSeek V3, Kimi K2, Qwen3). */
export const FP8_BLOCK = 128;
/** GGUF's Q4_0: an f16 scale and 32 nibbles. */
const Q4_0_BYTES = 18;

/** In one sentence each: what is quantised, what stays. */
export const FORMAT_RULES: Readonly<Record<WeightFormat, string>> = {
  f32: 'four bytes for every parameter',
  bf16: 'two bytes for every parameter',
  f16: 'two bytes for every parameter',
  fp8: 'one byte for the matrices of the blocks and a float32 scale per 128 x 128 of them; embedding, head, routers and vectors stay bf16',
  q8_0: '34 bytes per 32 numbers of every matrix, embedding and head included; routers, vectors and rows that 32 does not divide stay f32',
  q4_0: '18 bytes per 32 numbers of every matrix, embedding and head included; routers, vectors and rows that 32 does not divide stay f32',
};

const OUTSIDE: ReadonlySet<PartName> = new Set(['embedding', 'positions', 'head']);

/** Bytes of one parameter, and whether the format quantises it. */
export function parameterBytes({ parameter, part }: Pick<ParameterCount, 'parameter' | 'part'>, format: WeightFormat): { bytes: number; quantised: boolean } {
  const count = elementCount(parameter.shape);
  switch (format) {
    case 'f32': return { bytes: 4 * count, quantised: false };
    case 'bf16': case 'f16': return { bytes: 2 * count, quantised: false };
    case 'fp8': {
      const quantised = isMatrix(parameter) && !OUTSIDE.has(part);
      return quantised ? { bytes: count + 4 * fp8Scales(parameter.shape), quantised } : { bytes: 2 * count, quantised };
    }
    case 'q8_0': case 'q4_0': {
      const quantised = isMatrix(parameter) && parameter.shape.at(-1)! % Q8_0_BLOCK === 0;
      const block = format === 'q8_0' ? Q8_0_BYTES : Q4_0_BYTES;
      return quantised ? { bytes: (count / Q8_0_BLOCK) * block, quantised } : { bytes: 4 * count, quantised };
    }
    default: return format satisfies never;
  }
}

const isMatrix = ({ shape, precise }: Parameter): boolean => shape.length >= 2 && !precise;

function fp8Scales(shape: readonly number[]): number {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return elementCount(shape.slice(0, -2)) * Math.ceil(rows / FP8_BLOCK) * Math.ceil(columns / FP8_BLOCK);
}

export interface FormatBytes {
  readonly bytes: number;
  /** Parameters that the format quantises; the others keep a plain float type. */
  readonly quantised: number;
  readonly kept: number;
}

/** All weights in every format. */
export function bytesByFormat(counts: readonly ParameterCount[]): Readonly<Record<WeightFormat, FormatBytes>> {
  return Object.fromEntries(weightFormats.map((format) => {
    const sum = { bytes: 0, quantised: 0, kept: 0 };
    for (const count of counts) {
      const { bytes, quantised } = parameterBytes(count, format);
      sum.bytes += bytes;
      sum[quantised ? 'quantised' : 'kept'] += count.total;
    }
    return [format, sum];
  })) as unknown as Record<WeightFormat, FormatBytes>;
}
