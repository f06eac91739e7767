// Activations rounded to int8, as kernels with relaxed SIMD take them. For Q8_0 every block of 32 columns has a
// scale, as in llama.cpp. For formats of 4 bits a row has one scale, and each block divides it by a power of two,
// the largest that its numbers allow: their sums are scaled by taking an integer from an exponent, which does not
// wait for the units that multiply, and what half a bit of activations costs is small beside 4-bit weights
// (docs/decisions/0011-two-builds-of-the-kernels.md). The row's scale is multiplied with the whole sum at the end.
//
// What 4-bit formats add to their numbers to have none below zero is taken from sums of activations; what makes
// int8 activations bytes without a sign, from sums of Q8_0's weights.

import { Format } from '../abi';
import { byteOffset } from './byte-dots';
import { larger4, largestOf4, splat } from './math';
import { largest, largest4, rounded } from './quantized';

const LIMIT: f32 = 127;
/** What lies further below a row's largest number would not change a sum in float32. */
const MOST_HALVINGS = 24;

/** Sixteen numbers as int8: for Q8_0 such as `byteOffset` describes, for 4-bit numbers in their packed order (nibble-products.ts). */
// @ts-ignore: decorator
@inline function bytes16(format: i32, x: usize, inverse: v128): v128 {
  const low = i16x8.narrow_i32x4_s(rounded(x, inverse), rounded(x + 16, inverse));
  const v = i8x16.narrow_i16x8_s(low, i16x8.narrow_i32x4_s(rounded(x + 32, inverse), rounded(x + 48, inverse)));
  return format == Format.q8 ? v128.xor(v, i8x16.splat(<i8>byteOffset())) : v128.shuffle<i8>(v, v, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
}

function largestOfRow(x: usize, blocks: i32): f32 {
  let top = splat(0);
  for (let b = 0; b < blocks; b++, x += 128) top = larger4(top, largest4(x));
  return largestOf4(top);
}

/** How often a row's scale is halved for a block whose largest number is `top`. */
// @ts-ignore: decorator
@inline function halvings(top: f32, ofRow: f32): i32 { return max(0, min(MOST_HALVINGS, 126 - (reinterpret<i32>(top / ofRow) >> 23))); }

/** 2^-n, or with `n` below zero 2^n. */
// @ts-ignore: decorator
@inline function power(n: i32): f32 { return reinterpret<f32>((127 - n) << 23); }

/** What a block's sum of activations adds to products. Q4_0: -8 times it, the offset of weights; Q4_K: the sum, to be multiplied with a minimum. */
function storeSum(format: i32, v: v128, w: v128, halved: i32, to: usize): void {
  const pairs = i32x4.add(partSums(v), partSums(w));
  const sum = i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1) + i32x4.extract_lane(pairs, 2) + i32x4.extract_lane(pairs, 3);
  if (format == Format.q4k) store<f32>(to, <f32>sum * power(halved));
  else store<i32>(to, -8 * sum);
}

/** Sums of bytes by fours of eight. */
// @ts-ignore: decorator
@inline function partSums(v: v128): v128 { return i32x4.extadd_pairwise_i16x8_s(i16x8.extadd_pairwise_i8x16_s(v)); }

/** One row: int8, per block a scale (a power of two where the row has one) and, of 4-bit formats, a sum. Returns the row's scale. */
export function quantizeBytes(format: i32, x: usize, blocks: i32, q: usize, scales: usize, sums: usize): f32 {
  const byBlock = format == Format.q8, ofRow: f32 = byBlock ? 0 : largestOfRow(x, blocks);
  for (let b = 0; b < blocks; b++, x += 128, q += 32, scales += 4, sums += 4) {
    const top = largest(x), n = byBlock ? 0 : halvings(top, ofRow), most: f32 = byBlock ? top : ofRow, inverse1: f32 = most > 0 ? LIMIT / most * power(-n) : 0;
    const inverse = splat(inverse1), v = bytes16(format, x, inverse), w = bytes16(format, x + 64, inverse);
    v128.store(q, v);
    v128.store(q, w, 16);
    store<f32>(scales, byBlock ? top / LIMIT : power(n));
    if (!byBlock) storeSum(format, v, w, n, sums);
  }
  return byBlock ? <f32>1 : ofRow / LIMIT;
}

// Four vectors' lanes put together: the largest of each, the sum of each.
// @ts-ignore: decorator
@inline function most4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = larger4(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  const cd = larger4(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7));
  return larger4(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7));
}
// @ts-ignore: decorator
@inline function wholes4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 1, 4, 5), v128.shuffle<i32>(a, b, 2, 3, 6, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 1, 4, 5), v128.shuffle<i32>(c, d, 2, 3, 6, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 2, 4, 6), v128.shuffle<i32>(ab, cd, 1, 3, 5, 7));
}

/** Four vectors with every four bytes of the four side by side. */
// @ts-ignore: decorator
@inline function storeColumns(q: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5), ef = v128.shuffle<i32>(a, b, 2, 6, 3, 7), gh = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(q, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(q, v128.shuffle<i64>(ab, cd, 1, 3), 16);
  v128.store(q, v128.shuffle<i64>(ef, gh, 0, 2), 32);
  v128.store(q, v128.shuffle<i64>(ef, gh, 1, 3), 48);
}

// `halvings` and what numbers are multiplied with, of four rows.
// @ts-ignore: decorator
@inline function halvings4(top: v128, ofRow: v128): v128 {
  const ratio = i32x4.shr_s(f32x4.div(top, ofRow), 23);
  return i32x4.max_s(i32x4.splat(0), i32x4.min_s(i32x4.splat(MOST_HALVINGS), i32x4.sub(i32x4.splat(126), ratio)));
}
// @ts-ignore: decorator
@inline function inverse4(most: v128): v128 { return v128.and(f32x4.div(splat(LIMIT), most), f32x4.gt(most, splat(0))); }

/**
 * Four rows as a tile: every four bytes of the four lie side by side. Powers of two are stored as what is taken
 * from a float32 for them; scales of rows stand behind all sums.
 */
export function quantizeByteTile(format: i32, x0: usize, x1: usize, x2: usize, x3: usize, blocks: i32, q: usize, scales: usize, sums: usize): void {
  const byBlock = format == Format.q8, end = scales + (<usize>blocks << 4);
  let ofRows = splat(0);
  for (let p = scales, i: usize = 0; p < end; p += 16, i += 128) {
    const top = most4(largest4(x0 + i), largest4(x1 + i), largest4(x2 + i), largest4(x3 + i));
    v128.store(p, top);
    ofRows = larger4(ofRows, top);
  }
  const whole = inverse4(ofRows);
  for (let i: usize = 0; scales < end; scales += 16, sums += 16, q += 128, i += 128) {
    const top = v128.load(scales), power = i32x4.shl(halvings4(top, ofRows), 23), inverse = byBlock ? inverse4(top) : i32x4.add(whole, power);
    v128.store(scales, byBlock ? f32x4.div(top, splat(LIMIT)) : power);
    let by = v128.shuffle<f32>(inverse, inverse, 0, 0, 0, 0);
    const v0 = bytes16(format, x0 + i, by), w0 = bytes16(format, x0 + i + 64, by);
    by = v128.shuffle<f32>(inverse, inverse, 1, 1, 1, 1);
    const v1 = bytes16(format, x1 + i, by), w1 = bytes16(format, x1 + i + 64, by);
    by = v128.shuffle<f32>(inverse, inverse, 2, 2, 2, 2);
    const v2 = bytes16(format, x2 + i, by), w2 = bytes16(format, x2 + i + 64, by);
    by = v128.shuffle<f32>(inverse, inverse, 3, 3, 3, 3);
    const v3 = bytes16(format, x3 + i, by), w3 = bytes16(format, x3 + i + 64, by);
    storeColumns(q, v0, v1, v2, v3);
    storeColumns(q + 64, w0, w1, w2, w3);
    if (byBlock) continue;
    const sum = i32x4.add(wholes4(partSums(v0), partSums(v1), partSums(v2), partSums(v3)), wholes4(partSums(w0), partSums(w1), partSums(w2), partSums(w3)));
    if (format == Format.q4k) v128.store(sums, f32x4.mul(f32x4.convert_i32x4_s(sum), i32x4.sub(splat(1), power)));
    else v128.store(sums, i32x4.mul(sum, i32x4.splat(-8)));
  }
  v128.store(sums, byBlock ? splat(1) : f32x4.div(ofRows, splat(LIMIT)));
}

/** Scales of weights from which powers of two can be taken: without a negative zero. */
// @ts-ignore: decorator
@inline export function divisible(d: v128): v128 { return f32x4.add(d, splat(0)); }
