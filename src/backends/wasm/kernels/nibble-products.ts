// Products of packed Q4_0 and Q4_K matrices (blocks.ts) with int8 activations, where relaxed SIMD is
// there: sixteen 4-bit numbers times int8 in one instruction. 4 bits fit its 7-bit operand and a
// block of 32 sums within int16 (127 x 15 x 32), so that only the rounding of activations is inexact, as in
// llama.cpp. What formats subtract (8, a minimum) is taken from sums of activations.
//
// A packed vector holds eight columns of four rows; its bytes' low halves are columns 0, 4, 1, 5 of
// each row, the upper ones 2, 6, 3, 7. Activations are kept in that order.

import { Format } from '../abi';
import { lowest, minimaK, scalesK } from './block-products';
import { byteOffset } from './byte-products';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { finish, largest, putTile4, putTile8, rounded } from './quantized';

const LIMIT: f32 = 127;

/** Sixteen numbers as int8, in packed order. */
// @ts-ignore: decorator
@inline function bytes16(x: usize, inverse: v128): v128 {
  const low = i16x8.narrow_i32x4_s(rounded(x, inverse), rounded(x + 16, inverse));
  const v = i8x16.narrow_i16x8_s(low, i16x8.narrow_i32x4_s(rounded(x + 32, inverse), rounded(x + 48, inverse)));
  return v128.shuffle<i8>(v, v, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
}

/**
 * What a block's sum of activations adds to products. Q4_0: -8 times it, where the int16 sums of a
 * row's even columns begin: what is in them at the end fits (32 x 8 x 127). Q4_K: that, as a number, times a minimum.
 */
function storeSum(format: i32, v: v128, w: v128, scale: f32, to: usize): void {
  const pairs = i32x4.add(i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v)), i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(w)));
  const sum = i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1) + i32x4.extract_lane(pairs, 2) + i32x4.extract_lane(pairs, 3);
  if (format == Format.q4) store<i32>(to, -8 * sum & 0xffff);
  else store<f32>(to, <f32>sum * scale);
}

/** One row as int8; a scale and a sum per block. */
export function quantizeBytes(format: i32, x: usize, blocks: i32, q: usize, scales: usize, sums: usize): void {
  for (let b = 0; b < blocks; b++, x += 128, q += 32, scales += 4, sums += 4) {
    const top = largest(x), inverse = splat(top > 0 ? LIMIT / top : 0), v = bytes16(x, inverse), w = bytes16(x + 64, inverse);
    v128.store(q, v);
    v128.store(q, w, 16);
    store<f32>(scales, top / LIMIT);
    storeSum(format, v, w, top / LIMIT, sums);
  }
}

/** The same into column `column` of a tile of four rows: every four bytes of the four lie side by side. */
export function quantizeByteColumn(format: i32, x: usize, blocks: i32, column: i32, q: usize, scales: usize, sums: usize): void {
  const lane = <usize>column << 2;
  q += lane;
  for (let b = 0; b < blocks; b++, x += 128, q += 128, scales += 16, sums += 16) {
    const top = largest(x), inverse = splat(top > 0 ? LIMIT / top : 0), v = bytes16(x, inverse), w = bytes16(x + 64, inverse);
    v128.store32_lane(q, v, 0); v128.store32_lane(q, v, 1, 16); v128.store32_lane(q, v, 2, 32); v128.store32_lane(q, v, 3, 48);
    v128.store32_lane(q, w, 0, 64); v128.store32_lane(q, w, 1, 80); v128.store32_lane(q, w, 2, 96); v128.store32_lane(q, w, 3, 112);
    store<f32>(scales + lane, top / LIMIT);
    storeSum(format, v, w, top / LIMIT, sums + lane);
  }
}

/**
 * Whether tiles sum four products at once, in int32, where the processor does that (byte-products.ts): the same sums.
 * One row has too few chains of sums for it. As `fours` below it is a constant where these are inlined.
 */
// @ts-ignore: decorator
@inline function byFours(): bool { return byteOffset() >= 0; }
// @ts-ignore: decorator
@inline function madd(fours: bool, s: v128, a: v128, nibbles: v128): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return unreachable();
  return fours ? i32x4.relaxed_dot_i8x16_i7x16_add_s(a, nibbles, s) : i16x8.add(s, i16x8.relaxed_dot_i8x16_i7x16_s(a, nibbles));
}
// @ts-ignore: decorator
@inline function low(v: v128, mask: v128): v128 { return v128.and(v, mask); }
// @ts-ignore: decorator
@inline function high(v: v128, mask: v128): v128 { return v128.and(i16x8.shr_u(v, 4), mask); }
/** See math.ts on constants. */
const FIFTEENS = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);


// A block of 32 columns of a group of four rows. `format` is a constant where these are inlined.
/** Bytes of `n` blocks. */
// @ts-ignore: decorator
@inline function groupBytes(n: i32): usize { return <usize>n * 72; }
/** Where the group's block (of Q4_K: of 256 columns) begins that block `b` is part of. */
// @ts-ignore: decorator
@inline function blockOf(format: i32, w: usize, b: i32): usize { return w + groupBytes(format == Format.q4 ? b : b & ~7); }
/** Its four vectors. */
// @ts-ignore: decorator
@inline function nibblesOf(format: i32, block: usize, b: i32): usize { return format == Format.q4 ? block : block + (<usize>(b & 7) << 6); }
// @ts-ignore: decorator
@inline function scaleOf(format: i32, block: usize, b: i32): v128 {
  if (format == Format.q4) return finiteF16x4(block + 64);
  return f32x4.mul(finiteF16x4(block + 512), lowest(i32x4.shr_u(scalesK(block, b >> 2 & 1), (b & 3) << 3)));
}
// @ts-ignore: decorator
@inline function minimumOf(format: i32, block: usize, b: i32): v128 {
  if (format == Format.q4) return splat(0);
  return f32x4.mul(finiteF16x4(block + 520), lowest(i32x4.shr_u(minimaK(block, b >> 2 & 1), (b & 3) << 3)));
}
/** Where sums of a block begin. */
// @ts-ignore: decorator
@inline function begun(fours: bool, format: i32, sum: usize): v128 {
  if (format != Format.q4) return i16x8.splat(0);
  return fours ? i32x4.extend_low_i16x8_s(v128.load16_splat(sum)) : v128.load32_splat(sum);
}
/** Adds a block's sums to those of the row. */
// @ts-ignore: decorator
@inline function ended(fours: bool, format: i32, acc: v128, block: v128, weightScale: v128, minimum: v128, scale: usize, sum: usize): v128 {
  const total = finish(acc, fours ? block : i32x4.extadd_pairwise_i16x8_s(block), weightScale, scale);
  return format == Format.q4 ? total : f32x4.sub(total, f32x4.mul(minimum, v128.load32_splat(sum)));
}

/** Packed groups [lo, hi) times one quantised row; y holds the results of group 0 on. `blocks` counts 32 columns each. */
export function vectorNibbles(format: i32, w: usize, q: usize, scales: usize, sums: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  const bytes = groupBytes(blocks), half = (hi - lo + 1) >> 1;
  // Two groups share the loads of activations: one from each half, for neighbours defeat prefetching.
  for (let g = lo; g < lo + half; g++) {
    const other = g + half < hi ? g + half : g, at = w + g * bytes, partner = w + other * bytes, to = y + (<usize>g << 4), above = y + (<usize>other << 4);
    if (format == Format.q4) vectorQ4(at, partner, q, scales, sums, to, above, blocks);
    else vectorQ4K(at, partner, q, scales, sums, to, above, blocks);
  }
}

function vectorQ4(w: usize, x: usize, q: usize, scales: usize, sums: usize, y: usize, z: usize, blocks: i32): void { vector(Format.q4, w, x, q, scales, sums, y, z, blocks); }
function vectorQ4K(w: usize, x: usize, q: usize, scales: usize, sums: usize, y: usize, z: usize, blocks: i32): void { vector(Format.q4k, w, x, q, scales, sums, y, z, blocks); }

// @ts-ignore: decorator
@inline function vector(format: i32, w: usize, x: usize, a: usize, scales: usize, sums: usize, y: usize, z: usize, blocks: i32): void {
  const mask = v128.load(FIFTEENS);
  let f = splat(0), g = f;
  for (let b = 0; b < blocks; b++, scales += 4, sums += 4) {
    const block = blockOf(format, w, b), partner = blockOf(format, x, b), first = nibblesOf(format, block, b), second = nibblesOf(format, partner, b);
    let s = begun(false, format, sums), t = s;
    for (let j: usize = 0; j < 64; j += 16, a += 8) {
      const v = v128.load(first + j), u = v128.load(second + j), c = v128.load32_splat(a), d = v128.load32_splat(a, 4);
      s = madd(false, s, c, low(v, mask)); t = madd(false, t, c, low(u, mask));
      s = madd(false, s, d, high(v, mask)); t = madd(false, t, d, high(u, mask));
    }
    f = ended(false, format, f, s, scaleOf(format, block, b), minimumOf(format, block, b), scales, sums);
    g = ended(false, format, g, t, scaleOf(format, partner, b), minimumOf(format, partner, b), scales, sums);
  }
  v128.store(y, f);
  v128.store(z, g);
}

/** The scales (and, of Q4_K, minima) of a group's blocks as float32, four rows side by side, for all tiles that it is multiplied with. */
export function decodeScales(format: i32, w: usize, blocks: i32, to: usize): void {
  for (let b = 0; b < blocks; b++, to += 32) {
    const block = blockOf(format, w, b);
    v128.store(to, scaleOf(format, block, b));
    v128.store(to, minimumOf(format, block, b), 16);
  }
}

/**
 * Two packed groups (`x` the second; the first again where there is none) times a tile of four quantised rows;
 * `y` is a table of four output rows. Their sums are kept in 128 bytes at `rows` (see byte-products.ts, fewSums).
 */
export function tileNibbles(format: i32, w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, y: usize, at: usize, blocks: i32, rows: usize): void {
  memory.fill(rows, 0, 128);
  if (format == Format.q4) byFours() ? tileQ4Fours(w, x, ws, xs, q, scales, sums, blocks, rows) : tileQ4(w, x, ws, xs, q, scales, sums, blocks, rows);
  else byFours() ? tileQ4KFours(w, x, ws, xs, q, scales, sums, blocks, rows) : tileQ4K(w, x, ws, xs, q, scales, sums, blocks, rows);
  const f0 = v128.load(rows), f1 = v128.load(rows, 16), f2 = v128.load(rows, 32), f3 = v128.load(rows, 48);
  if (x == w) putTile4(y, at, f0, f1, f2, f3);
  else putTile8(y, at, f0, f1, f2, f3, v128.load(rows, 64), v128.load(rows, 80), v128.load(rows, 96), v128.load(rows, 112));
}

function tileQ4(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(false, Format.q4, w, x, ws, xs, q, scales, sums, blocks, rows); }
function tileQ4K(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(false, Format.q4k, w, x, ws, xs, q, scales, sums, blocks, rows); }
function tileQ4Fours(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(true, Format.q4, w, x, ws, xs, q, scales, sums, blocks, rows); }
function tileQ4KFours(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(true, Format.q4k, w, x, ws, xs, q, scales, sums, blocks, rows); }

/** Adds a block's sums to those of the row that `to` holds. */
// @ts-ignore: decorator
@inline function endIn(to: usize, fours: bool, format: i32, block: v128, weightScale: v128, minimum: v128, scale: usize, sum: usize): void {
  v128.store(to, ended(fours, format, v128.load(to), block, weightScale, minimum, scale, sum));
}

// @ts-ignore: decorator
@inline function tile(fours: bool, format: i32, w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void {
  const mask = v128.load(FIFTEENS);
  for (let b = 0; b < blocks; b++, q += 128, scales += 16, sums += 16, ws += 32, xs += 32) {
    const block = blockOf(format, w, b), partner = blockOf(format, x, b), first = nibblesOf(format, block, b), second = nibblesOf(format, partner, b);
    let s0 = begun(fours, format, sums), s1 = begun(fours, format, sums + 4), s2 = begun(fours, format, sums + 8), s3 = begun(fours, format, sums + 12), t0 = s0, t1 = s1, t2 = s2, t3 = s3;
    for (let j: usize = 0; j < 64; j += 16) {
      const a = q + (j << 1);
      let p = low(v128.load(first + j), mask), r = low(v128.load(second + j), mask), c = v128.load32_splat(a);
      s0 = madd(fours, s0, c, p); t0 = madd(fours, t0, c, r);
      c = v128.load32_splat(a, 4);
      s1 = madd(fours, s1, c, p); t1 = madd(fours, t1, c, r);
      c = v128.load32_splat(a, 8);
      s2 = madd(fours, s2, c, p); t2 = madd(fours, t2, c, r);
      c = v128.load32_splat(a, 12);
      s3 = madd(fours, s3, c, p); t3 = madd(fours, t3, c, r);
      p = high(v128.load(first + j), mask); r = high(v128.load(second + j), mask);
      c = v128.load32_splat(a, 16);
      s0 = madd(fours, s0, c, p); t0 = madd(fours, t0, c, r);
      c = v128.load32_splat(a, 20);
      s1 = madd(fours, s1, c, p); t1 = madd(fours, t1, c, r);
      c = v128.load32_splat(a, 24);
      s2 = madd(fours, s2, c, p); t2 = madd(fours, t2, c, r);
      c = v128.load32_splat(a, 28);
      s3 = madd(fours, s3, c, p); t3 = madd(fours, t3, c, r);
    }
    const d = v128.load(ws), e = v128.load(xs), m = v128.load(ws, 16), n = v128.load(xs, 16);
    endIn(rows, fours, format, s0, d, m, scales, sums); endIn(rows + 64, fours, format, t0, e, n, scales, sums);
    endIn(rows + 16, fours, format, s1, d, m, scales + 4, sums + 4); endIn(rows + 80, fours, format, t1, e, n, scales + 4, sums + 4);
    endIn(rows + 32, fours, format, s2, d, m, scales + 8, sums + 8); endIn(rows + 96, fours, format, t2, e, n, scales + 8, sums + 8);
    endIn(rows + 48, fours, format, s3, d, m, scales + 12, sums + 12); endIn(rows + 112, fours, format, t3, e, n, scales + 12, sums + 12);
  }
}
