// Where the numbers of Q4_0, Q4_K and Q6_K lie, stored (GGUF's layout) and packed; and the kernels
// that pack and unpack matrices of every block format, in place. Four rows interleave, so that one
// load feeds four results. A packed block has four rows' bytes:
//   - 4-bit numbers: a vector per eight columns, whose 16-bit lane 2 r + c holds columns c, c + 2,
//     c + 4 and c + 6 of row r, lowest first: a mask leaves int16 pairs of four rows;
//   - 6-bit numbers: three vectors per sixteen columns; of columns c, c + 2, … c + 14, lane 2 r + c holds
//     two in the low twelve bits of each, the low four bits of the last two above those of the first
//     and second vector, their upper bits above those of the third;
//   - scales of four rows side by side: Q4_0 f16; Q4_K f16 scales, f16 minima, then each of the
//     three words with 6-bit numbers; Q6_K sixteen int8, then f16.
// Rows behind the last whole group of a matrix stay as stored.

import { Format } from '../abi';
import { f16 } from './formats';
import { splat } from './math';
import { packNibbles, packQ4, packQ8 } from './packing';
import { unpackQ8 } from './quantized';
import { int, pointer, scratch, unitHi, unitLo } from './record';

/** Numbers of a block. */
// @ts-ignore: decorator
@inline export function blockValues(format: i32): i32 { return format == Format.q8 || format == Format.q4 ? 32 : 256; }

/** Bytes of a stored block. */
// @ts-ignore: decorator
@inline export function blockBytes(format: i32): i32 { return format == Format.q8 ? 34 : format == Format.q4 ? 18 : format == Format.q4k ? 144 : 210; }

/** Bytes of a stored row of `n` numbers. */
export function storedBytes(format: i32, n: i32): i32 { return n / blockValues(format) * blockBytes(format); }

/** Interleaves groups of four rows in place. Numbers: blocks of a row, rows of a matrix, groups of a matrix, format. */
export function pack(): void { permute(true, pointer(0), pointer(0)); }

/** The inverse, from one place to another or in place. */
export function unpack(): void { permute(false, pointer(0), pointer(1)); }

function permute(packing: bool, from: usize, to: usize): void {
  const blocks = int(0), rows = int(1), groups = int(2), format = int(3), size = <usize>blockBytes(format), bytes = size * blocks << 2;
  for (let unit = unitLo; unit < unitHi; unit++) {
    const at = <usize>(unit / groups * rows + unit % groups * 4) * blocks * size;
    memory.copy(scratch, from + at, bytes);
    for (let b = 0; b < blocks; b++) {
      const stored = <usize>b * size, packed = stored << 2, stride = <usize>blocks * size;
      if (packing) packBlock(format, scratch + stored, stride, to + at + packed);
      else for (let lane = 0; lane < 4; lane++) unpackBlock(format, scratch + packed, to + at + stored + lane * stride, lane);
    }
  }
}

/** The stored byte of a block that column 8 e has its low bits in, and how far up these are. */
function nibblesAt(format: i32, e: i32): i32 {
  if (format == Format.q4) return 2 + ((e & 1) << 3);
  if (format == Format.q4k) return 16 + (e >> 3 << 5) + ((e & 3) << 3);
  return (e >> 4 << 6) + ((e >> 2 & 1) << 5) + ((e & 3) << 3);
}
function nibblesShift(format: i32, e: i32): i32 {
  return (format == Format.q4 ? e >> 1 : format == Format.q4k ? e >> 2 & 1 : e >> 3 & 1) << 2;
}

/** The same for the upper two bits of Q6_K. */
function pairsAt(e: i32): i32 { return 128 + (e >> 4 << 5) + ((e & 3) << 3); }
function pairsShift(e: i32): i32 { return (e >> 2 & 3) << 1; }

/** Four 4-bit numbers as the low halves of bytes 0, 2, 4 and 6. */
function spread(nibbles: u32): u64 {
  let x = <u64>nibbles;
  x = (x | x << 24) & 0x000000ff000000ff;
  return (x | x << 12) & 0x000f000f000f000f;
}

/** The low six bits of bytes 0, 2, 4 and 6 of two words, columns c to c + 14 by twos, as the lanes of three vectors. */
function packSixes(first: u64, second: u64, to: usize): void {
  const x4 = <u32>second & 63, x5 = <u32>(second >> 16) & 63, x6 = <u32>(second >> 32) & 63, x7 = <u32>(second >> 48) & 63;
  store<u16>(to, <u32>first & 63 | (<u32>(first >> 16) & 63) << 6 | (x6 & 15) << 12);
  store<u16>(to, <u32>(first >> 32) & 63 | (<u32>(first >> 48) & 63) << 6 | (x7 & 15) << 12, 16);
  store<u16>(to, x4 | x5 << 6 | (x6 >> 4) << 12 | (x7 >> 4) << 14, 32);
}

/** The inverse, of which the `second` word or the first. */
function sixes(at: usize, second: bool): u64 {
  const a = <u64>load<u16>(at), b = <u64>load<u16>(at, 16), c = <u64>load<u16>(at, 32);
  if (!second) return a & 63 | (a >> 6 & 63) << 16 | (b & 63) << 32 | (b >> 6 & 63) << 48;
  return c & 63 | (c >> 6 & 63) << 16 | (a >> 12 | (c >> 12 & 3) << 4) << 32 | (b >> 12 | c >> 14 << 4) << 48;
}

/** Eight columns of a row out of their vectors: a byte for each. */
function eight(format: i32, packed: usize, lane: i32, e: i32): u64 {
  if (format == Format.q6k) {
    const at = packed + (e >> 1) * 48 + (lane << 2), second = (e & 1) != 0;
    return sixes(at, second) | sixes(at + 2, second) << 8;
  }
  const at = packed + (e << 4) + (lane << 2);
  return spread(load<u16>(at)) | spread(load<u16>(at, 2)) << 8;
}

/** The same of a stored row. */
function storedEight(format: i32, at: usize, e: i32): u64 {
  const x = load<u64>(at + nibblesAt(format, e)) >> nibblesShift(format, e) & 0x0f0f0f0f0f0f0f0f;
  return format == Format.q6k ? x | (load<u64>(at + pairsAt(e)) >> pairsShift(e) & 0x0303030303030303) << 4 : x;
}

/** A block of each of four rows that are `stride` bytes apart. */
function packBlock(format: i32, stored: usize, stride: usize, packed: usize): void {
  if (format == Format.q8) { packQ8(stored, stride, packed); return; }
  if (format == Format.q4) { packQ4(stored, stride, packed); return; }
  if (format == Format.q4k) for (let half: usize = 0; half < 8; half++) {
    const eighths = packed + (half >> 1 << 7) + ((half & 1) << 5);
    packNibbles(stored + 16 + (half << 4), stride, eighths, eighths + 64);
  }
  for (let lane = 0; lane < 4; lane++) {
    const row = stored + lane * stride;
    if (format == Format.q6k) packRowOfSixes(row, packed, lane);
    moveScales(format, true, row, packed, lane);
  }
}

function packRowOfSixes(stored: usize, packed: usize, lane: i32): void {
  for (let e = 0; e < 32; e += 2) {
    const x = storedEight(Format.q6k, stored, e), y = storedEight(Format.q6k, stored, e + 1), at = packed + (e >> 1) * 48 + (lane << 2);
    packSixes(x, y, at);
    packSixes(x >> 8, y >> 8, at + 2);
  }
}

function unpackBlock(format: i32, packed: usize, stored: usize, lane: i32): void {
  if (format == Format.q8) { unpackQ8(packed, stored, lane); return; }
  memory.fill(stored, 0, blockBytes(format));
  for (let e = 0; e < blockValues(format) >> 3; e++) {
    const x = eight(format, packed, lane, e), to = stored + nibblesAt(format, e);
    store<u64>(to, load<u64>(to) | (x & 0x0f0f0f0f0f0f0f0f) << nibblesShift(format, e));
    if (format != Format.q6k) continue;
    const above = stored + pairsAt(e);
    store<u64>(above, load<u64>(above) | (x >> 4 & 0x0303030303030303) << pairsShift(e));
  }
  moveScales(format, false, stored, packed, lane);
}

// @ts-ignore: decorator
@inline function move<T>(packing: bool, stored: usize, packed: usize): void {
  if (packing) store<T>(packed, load<T>(stored));
  else store<T>(stored, load<T>(packed));
}

function moveScales(format: i32, packing: bool, stored: usize, packed: usize, lane: i32): void {
  if (format == Format.q4) move<u16>(packing, stored, packed + 64 + (lane << 1));
  else if (format == Format.q4k) {
    move<u16>(packing, stored, packed + 512 + (lane << 1));
    move<u16>(packing, stored + 2, packed + 520 + (lane << 1));
    for (let k: usize = 0; k < 3; k++) move<u32>(packing, stored + 4 + (k << 2), packed + 528 + (k << 4) + (lane << 2));
  } else {
    for (let s: usize = 0; s < 16; s++) move<u8>(packing, stored + 192 + s, packed + 768 + (s << 2) + lane);
    move<u16>(packing, stored + 208, packed + 832 + (lane << 1));
  }
}

/** A row of `n` numbers as float32: stored at `from`, or as row `lane` of the packed group there. */
export function decodeBlocks(format: i32, packed: bool, from: usize, lane: i32, n: i32, out: usize): void {
  const eights = blockValues(format) >> 3, bytes = <usize>blockBytes(format) << (packed ? 2 : 0);
  for (let b = n / blockValues(format); b > 0; b--, from += bytes) for (let e = 0; e < eights; e++, out += 32) {
    const x = packed ? eight(format, from, lane, e) : storedEight(format, from, e);
    const v = i16x8.sub(i16x8.extend_low_i8x16_u(i64x2.splat(x)), i16x8.splat(format == Format.q4 ? 8 : format == Format.q6k ? 32 : 0));
    const scale = splat(scaleOf(format, packed, from, lane, e)), minimum = splat(format == Format.q4k ? minimumOf(packed, from, lane, e) : 0);
    v128.store(out, f32x4.sub(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(v)), scale), minimum));
    v128.store(out, f32x4.sub(f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(v)), scale), minimum), 16);
  }
}

/** What columns [8 e, 8 e + 8) of a row are multiplied by. */
function scaleOf(format: i32, packed: bool, at: usize, lane: i32, e: i32): f32 {
  if (format == Format.q4) return f16(packed ? at + 64 + (lane << 1) : at);
  if (format == Format.q6k) return f16(packed ? at + 832 + (lane << 1) : at + 208) * <f32>load<i8>(packed ? at + 768 + (e >> 1 << 2) + lane : at + 192 + (e >> 1));
  const j = e >> 2, k = (j & 3) << 3, word = scaleWord(packed, at, lane, 0) >> k;
  return f16(packed ? at + 512 + (lane << 1) : at) * <f32>(j < 4 ? word & 63 : scaleWord(packed, at, lane, 2) >> k & 15 | (word >> 6 & 3) << 4);
}

/** What is subtracted from columns [8 e, 8 e + 8) of a Q4_K row. */
function minimumOf(packed: bool, at: usize, lane: i32, e: i32): f32 {
  const j = e >> 2, k = (j & 3) << 3, word = scaleWord(packed, at, lane, 1) >> k;
  return f16(packed ? at + 520 + (lane << 1) : at + 2) * <f32>(j < 4 ? word & 63 : scaleWord(packed, at, lane, 2) >> (k + 4) & 15 | (word >> 6 & 3) << 4);
}

// @ts-ignore: decorator
@inline function scaleWord(packed: bool, at: usize, lane: i32, k: i32): u32 { return load<u32>(packed ? at + 528 + (k << 4) + (lane << 2) : at + 4 + (k << 2)); }
