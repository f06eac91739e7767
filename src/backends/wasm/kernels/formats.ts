// Stored numbers as float32: a row of any format, or four at a time inside a matrix-vector product.

import { Format, PACKED } from '../abi';
import { decodeBlocks, storedBytes } from './blocks';
import { splat } from './math';

/** See math.ts on constants: what moving an f16's bits by 13 leaves of it, 2^112, the exponents of infinity. */
const HALVES = memory.data<u32>([0x8fffe000, 0x77800000, 0x7c00, 0x7f800000], 16);
// @ts-ignore: decorator
@inline function half(index: usize): v128 { return v128.load32_splat(HALVES + (index << 2)); }

/** Four f16, given as int32, as float32, infinities and NaN included. */
// @ts-ignore: decorator
@inline export function widened(bits: v128): v128 {
  const special = i32x4.eq(v128.and(bits, half(2)), half(2));
  return v128.or(finite(bits), v128.and(special, half(3)));
}

// @ts-ignore: decorator
@inline function finite(bits: v128): v128 {
  // Exponents differ by 112, and multiplying also normalises subnormals.
  return f32x4.mul(v128.and(i32x4.shl(bits, 13), half(0)), half(1));
}

// @ts-ignore: decorator
@inline export function f16x4(p: usize): v128 { return widened(v128.load16x4_s(p)); }

/** Four f16 that are known to be finite: scales. */
// @ts-ignore: decorator
@inline export function finiteF16x4(p: usize): v128 { return finite(v128.load16x4_s(p)); }

// @ts-ignore: decorator
@inline export function bf16x4(p: usize): v128 { return i32x4.shl(v128.load16x4_u(p), 16); }

export function f16(p: usize): f32 {
  const h = <i32>load<i16>(p);
  const value = reinterpret<f32>((h << 13) & 0x8fffe000) * reinterpret<f32>(0x77800000);
  return (h & 0x7c00) == 0x7c00 ? reinterpret<f32>(reinterpret<u32>(value) | 0x7f800000) : value;
}

export function f8(p: usize): f32 {
  const byte = <i32>load<u8>(p);
  if ((byte & 0x7f) == 0x7f) return NaN;
  // Exponents differ by 120.
  return reinterpret<f32>(((byte & 0x80) << 24) | ((byte & 0x7f) << 20)) * reinterpret<f32>(0x7b800000);
}

/** Where FP8 scales lie, for `decodeRow`: bytes from the matrix's start, and the block they cover. */
let scalesAt: usize = 0;
let blockRows: i32 = 0;
let blockColumns: i32 = 0;
let matrixRows: i32 = 0;

/** Declares the scales of the FP8 tensor that the next rows come from; no block rows: none. */
export function setScales(at: usize, rows: i32, columns: i32, rowsOfMatrix: i32): void {
  scalesAt = at;
  blockRows = rows;
  blockColumns = columns;
  matrixRows = rowsOfMatrix;
}

/** Row `row` (all axes but the last collapsed) of a tensor with `n` columns, as float32. */
export function decodeRow(format: i32, base: usize, row: i32, n: i32, out: usize): void {
  if (format == Format.f32) memory.copy(out, base + (<usize>row * n << 2), <usize>n << 2);
  else if (format == Format.f16) decodeF16(base + (<usize>row * n << 1), n, out);
  else if (format == Format.bf16) decodeBf16(base + (<usize>row * n << 1), n, out);
  else if (format == Format.f8) decodeF8(base, row, n, out);
  else if (format == Format.q8) decodeQ8(base + <usize>row * (n >> 5) * 34, n, out);
  else if (format == Format.q8_packed) decodePackedQ8(base, row, n, out);
  else decodeBlockRow(format, base, row, n, out);
}

function decodeF16(from: usize, n: i32, out: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(out + (<usize>i << 2), f16x4(from + (<usize>i << 1)));
  for (; i < n; i++) store<f32>(out + (<usize>i << 2), f16(from + (<usize>i << 1)));
}

function decodeBf16(from: usize, n: i32, out: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) v128.store(out + (<usize>i << 2), bf16x4(from + (<usize>i << 1)));
  for (; i < n; i++) store<u32>(out + (<usize>i << 2), <u32>load<u16>(from + (<usize>i << 1)) << 16);
}

function decodeF8(base: usize, row: i32, n: i32, out: usize): void {
  const from = base + <usize>row * n;
  for (let i = 0; i < n; i++) store<f32>(out + (<usize>i << 2), f8(from + i));
  if (blockRows == 0) return;
  const across = (n + blockColumns - 1) / blockColumns, down = (matrixRows + blockRows - 1) / blockRows;
  const scaleRow = row / matrixRows * down + row % matrixRows / blockRows;
  const scales = base + scalesAt + (<usize>scaleRow * across << 2);
  for (let i = 0; i < n; i++) {
    const at = out + (<usize>i << 2);
    store<f32>(at, load<f32>(at) * load<f32>(scales + (<usize>(i / blockColumns) << 2)));
  }
}

function decodeQ8(from: usize, n: i32, out: usize): void {
  for (let b = 0; b < n >> 5; b++, from += 34) {
    const scale = splat(f16(from));
    for (let i: usize = 0; i < 32; i += 8, out += 32) {
      const v = v128.load8x8_s(from + 2 + i);
      v128.store(out, f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v))));
      v128.store(out, f32x4.mul(scale, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(v))), 16);
    }
  }
}

/** A row out of a packed matrix: see quantized.ts. The rows behind the last whole group lie as stored. */
function decodePackedQ8(base: usize, row: i32, n: i32, out: usize): void {
  const inMatrix = row % matrixRows, first = row - inMatrix, blocks = n >> 5;
  if (inMatrix >= (matrixRows & ~3)) { decodeQ8(base + <usize>row * blocks * 34, n, out); return; }
  const lane = inMatrix & 3;
  let from = base + <usize>(first + inMatrix - lane) * blocks * 34;
  for (let b = 0; b < blocks; b++, from += 136) {
    const scale = f16(from + 128 + (lane << 1));
    for (let i = 0; i < 32; i++) {
      store<f32>(out + (<usize>(b * 32 + i) << 2), scale * <f32>load<i8>(from + (i >> 1 << 3) + (lane << 1) + (i & 1)));
    }
  }
}

/** A row of the other block formats, stored or packed. */
function decodeBlockRow(format: i32, base: usize, row: i32, n: i32, out: usize): void {
  const kind = format >= Format.q8_packed ? format - PACKED : format, bytes = storedBytes(kind, n), inMatrix = row % matrixRows;
  const packed = kind != format && inMatrix < (matrixRows & ~3), lane = packed ? inMatrix & 3 : 0;
  decodeBlocks(kind, packed, base + <usize>(row - lane) * bytes, lane, n, out);
}
