// Products of packed Q4_0 and Q4_K matrices (blocks.ts) with int8 activations (byte-rows.ts), where relaxed
// SIMD is there: sixteen 4-bit numbers times int8 in one instruction. 4 bits fit its 7-bit operand and a
// block of 32 sums within int16 (127 x 15 x 32), so that only the rounding of activations is inexact, as in
// llama.cpp. What formats subtract (8, a minimum) is taken from sums of activations.
//
// A packed vector holds eight columns of four rows; its bytes' low halves are columns 0, 4, 1, 5 of
// each row, the upper ones 2, 6, 3, 7. Activations are kept in that order.

import { Format } from '../abi';
import { lowest, minimaK, scalesK } from './block-products';
import { byteOffset, dots } from './byte-dots';
import { divisible } from './byte-rows';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { finish } from './quantized';
import { addBoth, clear, lessened, putRows } from './tile-sums';

/**
 * Whether tiles sum four products at once, in int32, where the processor does that (byte-dots.ts): the same sums.
 * One row has too few chains of sums for it. As `fours` below it is a constant where these are inlined.
 */
// @ts-ignore: decorator
@inline function byFours(): bool { return byteOffset() >= 0; }
// @ts-ignore: decorator
@inline function madd(fours: bool, s: v128, a: v128, nibbles: v128): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return unreachable();
  return fours ? dots(s, a, nibbles) : i16x8.add(s, i16x8.relaxed_dot_i8x16_i7x16_s(a, nibbles));
}
// @ts-ignore: decorator
@inline export function low(v: v128, mask: v128): v128 { return v128.and(v, mask); }
// @ts-ignore: decorator
@inline export function high(v: v128, mask: v128): v128 { return v128.and(i16x8.shr_u(v, 4), mask); }
/** See math.ts on constants. */
export const FIFTEENS = memory.data<u8>([15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15], 16);
const LOW_HALF = memory.data<u32>([0xffff], 4);

// A block of 32 columns of a group of four rows. `format` is a constant where these are inlined.
/** Bytes of `n` blocks. */
// @ts-ignore: decorator
@inline function groupBytes(n: i32): usize { return <usize>n * 72; }
/** Where the group's block (of Q4_K: of 256 columns) begins that block `b` is part of. */
// @ts-ignore: decorator
@inline export function blockOf(format: i32, w: usize, b: i32): usize { return w + groupBytes(format == Format.q4 ? b : b & ~7); }
/** Its four vectors. */
// @ts-ignore: decorator
@inline export function nibblesOf(format: i32, block: usize, b: i32): usize { return format == Format.q4 ? block : block + (<usize>(b & 7) << 6); }
// @ts-ignore: decorator
@inline export function scaleOf(format: i32, block: usize, b: i32): v128 {
  if (format == Format.q4) return finiteF16x4(block + 64);
  return f32x4.mul(finiteF16x4(block + 512), lowest(i32x4.shr_u(scalesK(block, b >> 2 & 1), (b & 3) << 3)));
}
// @ts-ignore: decorator
@inline export function minimumOf(format: i32, block: usize, b: i32): v128 {
  if (format == Format.q4) return splat(0);
  return f32x4.mul(finiteF16x4(block + 520), lowest(i32x4.shr_u(minimaK(block, b >> 2 & 1), (b & 3) << 3)));
}
/** Where sums of a block begin: with -8 times those of the activations, which fits int16 (32 x 8 x 127), in a row's even columns. */
// @ts-ignore: decorator
@inline function begun(fours: bool, format: i32, sum: usize): v128 {
  if (format != Format.q4) return i16x8.splat(0);
  return fours ? v128.load32_splat(sum) : v128.and(v128.load32_splat(sum), v128.load32_splat(LOW_HALF));
}
/** A block's sums in int32. */
// @ts-ignore: decorator
@inline function summed(fours: bool, block: v128): v128 { return fours ? block : i32x4.extadd_pairwise_i16x8_s(block); }

/** Packed groups [lo, hi) times one quantised row; y holds the results of group 0 on. `blocks` counts 32 columns each. */
export function vectorNibbles(format: i32, w: usize, q: usize, scales: usize, sums: usize, scale: f32, y: usize, lo: i32, hi: i32, blocks: i32): void {
  const bytes = groupBytes(blocks), half = (hi - lo + 1) >> 1;
  // Two groups share the loads of activations: one from each half, for neighbours defeat prefetching.
  for (let g = lo; g < lo + half; g++) {
    const other = g + half < hi ? g + half : g, at = w + g * bytes, partner = w + other * bytes, to = y + (<usize>g << 4), above = y + (<usize>other << 4);
    if (format == Format.q4) vectorQ4(at, partner, q, scales, sums, scale, to, above, blocks);
    else vectorQ4K(at, partner, q, scales, sums, scale, to, above, blocks);
  }
}

function vectorQ4(w: usize, x: usize, q: usize, scales: usize, sums: usize, scale: f32, y: usize, z: usize, blocks: i32): void { vector(Format.q4, w, x, q, scales, sums, scale, y, z, blocks); }
function vectorQ4K(w: usize, x: usize, q: usize, scales: usize, sums: usize, scale: f32, y: usize, z: usize, blocks: i32): void { vector(Format.q4k, w, x, q, scales, sums, scale, y, z, blocks); }

// @ts-ignore: decorator
@inline function vector(format: i32, w: usize, x: usize, a: usize, scales: usize, sums: usize, scale: f32, y: usize, z: usize, blocks: i32): void {
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
    f = lessened(format, finish(f, summed(false, s), scaleOf(format, block, b), scales), minimumOf(format, block, b), sums);
    g = lessened(format, finish(g, summed(false, t), scaleOf(format, partner, b), scales), minimumOf(format, partner, b), sums);
  }
  v128.store(y, f32x4.mul(f, splat(scale)));
  v128.store(z, f32x4.mul(g, splat(scale)));
}

/** The scales (and, of Q4_K, minima) of a group's blocks as float32, four rows side by side, for all tiles that it is multiplied with. */
export function decodeScales(format: i32, w: usize, blocks: i32, to: usize): void {
  for (let b = 0; b < blocks; b++, to += 32) {
    const block = blockOf(format, w, b);
    v128.store(to, divisible(scaleOf(format, block, b)));
    v128.store(to, minimumOf(format, block, b), 16);
  }
}

/**
 * Two packed groups (`x` the second; the first again where there is none) times a tile of four rows, for few tiles:
 * byte-tiles.ts has many. `y` is a table of four output rows. Their sums are kept in 128 bytes at `rows` (see
 * byte-products.ts, fewSums).
 */
export function tileNibbles(format: i32, w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, y: usize, at: usize, blocks: i32, rows: usize): void {
  clear(rows, 128);
  if (format == Format.q4) byFours() ? tileQ4Fours(w, x, ws, xs, q, scales, sums, blocks, rows) : tileQ4(w, x, ws, xs, q, scales, sums, blocks, rows);
  else byFours() ? tileQ4KFours(w, x, ws, xs, q, scales, sums, blocks, rows) : tileQ4K(w, x, ws, xs, q, scales, sums, blocks, rows);
  putRows(rows, sums + (<usize>blocks << 4), y, at, x == w ? at : at + 16);
}

function tileQ4(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(false, Format.q4, w, x, ws, xs, q, scales, sums, blocks, rows); }
function tileQ4K(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(false, Format.q4k, w, x, ws, xs, q, scales, sums, blocks, rows); }
function tileQ4Fours(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(true, Format.q4, w, x, ws, xs, q, scales, sums, blocks, rows); }
function tileQ4KFours(w: usize, x: usize, ws: usize, xs: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(true, Format.q4k, w, x, ws, xs, q, scales, sums, blocks, rows); }

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
    addBoth(rows, format, summed(fours, s0), summed(fours, t0), d, e, m, n, scales, sums);
    addBoth(rows + 32, format, summed(fours, s1), summed(fours, t1), d, e, m, n, scales + 4, sums + 4);
    addBoth(rows + 64, format, summed(fours, s2), summed(fours, t2), d, e, m, n, scales + 8, sums + 8);
    addBoth(rows + 96, format, summed(fours, s3), summed(fours, t3), d, e, m, n, scales + 12, sums + 12);
  }
}
