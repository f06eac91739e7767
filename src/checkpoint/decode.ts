// Stored bytes as float32 numbers, and the question whether they are all finite. Types are spelled
// as safetensors spells them. Block formats (GGUF) and FP8 scales are not decoded here.

import { BLOCKS, F8_E4M3_TABLE, f16Table, f32FromBits, isBlockType } from '../tensor/dtype.js';
import type { Block } from '../tensor/dtype.js';
import { CheckpointError, quoted } from './error.js';

type NumberArray = { readonly length: number; readonly [index: number]: number | bigint };
type ArrayType<T> = { new (buffer: ArrayBufferLike, byteOffset: number, length: number): T; readonly BYTES_PER_ELEMENT: number };

/** Bytes as elements; a copy only where they do not lie at a multiple of the element's size. */
function elements<T>(dtype: string, bytes: Uint8Array, type: ArrayType<T>): T {
  const size = type.BYTES_PER_ELEMENT;
  if (bytes.length % size !== 0) throw new CheckpointError(`${bytes.length} bytes are not a whole number of ${dtype} elements of ${size} bytes`);
  // Not slice(): a Node Buffer's shares memory.
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  return new type(aligned.buffer, aligned.byteOffset, bytes.length / size);
}

function converted(dtype: string, bytes: Uint8Array, type: ArrayType<NumberArray>): Float32Array {
  const values = elements(dtype, bytes, type);
  const floats = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) floats[i] = Number(values[i]);
  return floats;
}

function lookedUp(codes: Uint8Array | Uint16Array, table: Float32Array): Float32Array {
  const floats = new Float32Array(codes.length);
  for (let i = 0; i < codes.length; i++) floats[i] = table[codes[i]];
  return floats;
}

/** bf16 is the upper half of a float32. */
function widened(codes: Uint16Array): Float32Array {
  const words = new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i++) words[i] = codes[i] << 16;
  return new Float32Array(words.buffer);
}

let e5m2: Float32Array | undefined;
/** e5m2 is the upper half of an f16. */
function e5m2Table(): Float32Array {
  e5m2 ??= Float32Array.from({ length: 256 }, (_, code) => f16Table()[code << 8]);
  return e5m2;
}

let e8m0: Float32Array | undefined;
/** e8m0 is a bare exponent, used for block scales: 2^(code - 127), and 255 is NaN. */
function e8m0Table(): Float32Array {
  e8m0 ??= Float32Array.from({ length: 256 }, (_, code) => (code === 255 ? NaN : code === 0 ? f32FromBits(0x00400000) : f32FromBits(code << 23)));
  return e8m0;
}

const DECODERS: ReadonlyMap<string, (dtype: string, bytes: Uint8Array) => Float32Array> = new Map([
  ['F32', (dtype, bytes) => elements(dtype, bytes, Float32Array)],
  ['F16', (dtype, bytes) => lookedUp(elements(dtype, bytes, Uint16Array), f16Table())],
  ['BF16', (dtype, bytes) => widened(elements(dtype, bytes, Uint16Array))],
  ['F8_E4M3', (_, bytes) => lookedUp(bytes, F8_E4M3_TABLE)],
  ['F8_E5M2', (_, bytes) => lookedUp(bytes, e5m2Table())],
  ['F8_E8M0', (_, bytes) => lookedUp(bytes, e8m0Table())],
  ['F64', (dtype, bytes) => converted(dtype, bytes, Float64Array)],
  ['I64', (dtype, bytes) => converted(dtype, bytes, BigInt64Array)],
  ['U64', (dtype, bytes) => converted(dtype, bytes, BigUint64Array)],
  ['I32', (dtype, bytes) => converted(dtype, bytes, Int32Array)],
  ['U32', (dtype, bytes) => converted(dtype, bytes, Uint32Array)],
  ['I16', (dtype, bytes) => converted(dtype, bytes, Int16Array)],
  ['U16', (dtype, bytes) => converted(dtype, bytes, Uint16Array)],
  ['I8', (dtype, bytes) => converted(dtype, bytes, Int8Array)],
  ['U8', (dtype, bytes) => converted(dtype, bytes, Uint8Array)],
  ['BOOL', (dtype, bytes) => converted(dtype, bytes, Uint8Array)],
] satisfies [string, (dtype: string, bytes: Uint8Array) => Float32Array][]);

/**
 * The numbers that stored bytes stand for, rounded to float32 where the type has more digits.
 * For F32 the result may share the memory of `bytes`.
 * Throws CheckpointError for a type it cannot decode or a length that is not a whole number of elements.
 */
export function toFloat32(dtype: string, bytes: Uint8Array): Float32Array {
  const decode = DECODERS.get(dtype);
  if (!decode) throw new CheckpointError(`tensors of type ${quoted(dtype)} cannot be turned into float32`);
  return decode(dtype, bytes);
}

// A number is NaN or infinite when its exponent bits are all ones (for e4m3, all but the sign).
// Masked out and increased by their lowest bit, exactly these carry into the sign's place, and
// nowhere else; so one addition tests all the numbers of a 32-bit word.
interface FiniteTest {
  /** The exponent bits of every number in the word. */
  readonly mask: number;
  /** The lowest of them. */
  readonly increment: number;
  /** Where the carry arrives. */
  readonly carry: number;
}
const FINITE_TESTS: ReadonlyMap<string, FiniteTest> = new Map([
  ['F32', { mask: 0x7f800000, increment: 0x00800000, carry: 0x80000000 }],
  ['F16', { mask: 0x7c007c00, increment: 0x04000400, carry: 0x80008000 }],
  ['BF16', { mask: 0x7f807f80, increment: 0x00800080, carry: 0x80008000 }],
  ['F8_E4M3', { mask: 0x7f7f7f7f, increment: 0x01010101, carry: 0x80808080 }],
  ['F8_E5M2', { mask: 0x7c7c7c7c, increment: 0x04040404, carry: 0x80808080 }],
]);

/**
 * Whether any of the stored numbers is NaN or infinite, without decoding them; false for integers.
 * Throws CheckpointError for a float type it does not know.
 */
export function hasNonFinite(dtype: string, bytes: Uint8Array): boolean {
  const test = FINITE_TESTS.get(dtype);
  if (test) return wordsNonFinite(bytes, test);
  const block = dtype.toLowerCase();
  if (isBlockType(block)) return blocksNonFinite(BLOCKS[block], bytes);
  if (/^([IU]\d+|BOOL)$/.test(dtype)) return false;
  return toFloat32Exact(dtype, bytes).some((value) => !Number.isFinite(value));
}

/** A block's numbers are its f16 scales times integers. */
function blocksNonFinite({ bytes: size, scales }: Block, bytes: Uint8Array): boolean {
  for (const scale of scales) for (let at = scale + 1; at < bytes.length; at += size) if ((bytes[at] & 0x7c) === 0x7c) return true;
  return false;
}

/** Rare types are decoded; F64 keeps its range, because a large one is not infinite. */
function toFloat32Exact(dtype: string, bytes: Uint8Array): Float32Array | Float64Array {
  return dtype === 'F64' ? elements(dtype, bytes, Float64Array) : toFloat32(dtype, bytes);
}

function wordsNonFinite(bytes: Uint8Array, { mask, increment, carry }: FiniteTest): boolean {
  const whole = bytes.length - (bytes.length % 4);
  const words = elements('word', bytes.subarray(0, whole), Uint32Array);
  // Looked at in pieces: the inner loop has no branch, and a bad number early on ends the search.
  for (let start = 0; start < words.length; start += 16384) {
    const end = Math.min(words.length, start + 16384);
    let seen = 0;
    for (let i = start; i < end; i++) seen |= (words[i] & mask) + increment;
    if ((seen & carry) !== 0) return true;
  }
  let rest = 0;
  for (let i = whole; i < bytes.length; i++) rest |= bytes[i] << (8 * (i - whole));
  return (((rest & mask) + increment) & carry) !== 0;
}
