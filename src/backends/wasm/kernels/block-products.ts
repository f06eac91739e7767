// Products of packed Q4_0, Q4_K and Q6_K matrices (blocks.ts), with several rows also of Q8_0, with
// activations of up to 16 bits (quantized.ts). Sums within 32 columns are exact.
// One row of activations: masks leave a number times 1, 16 or 256 (Q6_K: 64) in place, each power has a
// sum of its own and only these are shifted; what formats subtract (8, 32, a minimum) is taken from sums of
// activations. Several rows: four weight rows are decoded to int16 once and multiply all of them.

import { DECODED_BYTES, Format } from '../abi';
import { blockBytes } from './blocks';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { finish, putTile4, putTile8 } from './quantized';

/** Constants of loops: see math.ts. */
const MASKS = memory.data<u32>([0x000f000f, 0x00f000f0, 0x0f000f00, 0x003f003f, 0x0fc00fc0, 0x00300030, 0x3f3f3f3f, 0x0f0f0f0f, 0x30303030, 0xff], 16);
// @ts-ignore: decorator
@inline function mask(index: usize): v128 { return v128.load32_splat(MASKS + (index << 2)); }

/** Largest activation: so that sums of 32 products fit int32, Q6_K's weights being up to 32 x 128. */
export function activationLimit(format: i32): f32 { return format == Format.q6k ? 16383 : 32767; }

// @ts-ignore: decorator
@inline function across(v: v128): i32 {
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1) + i32x4.extract_lane(v, 2) + i32x4.extract_lane(v, 3);
}

/** Per block of a quantised row, what is subtracted: 32 times the sums of its halves and 8 times its sum as int32, and its sum as a number. */
export function sumRow(q: usize, scales: usize, blocks: i32, sums: usize): void {
  const ones = i16x8.splat(1);
  for (let b = 0; b < blocks; b++, q += 64, scales += 4, sums += 16) {
    const low = across(i32x4.add(i32x4.dot_i16x8_s(v128.load(q), ones), i32x4.dot_i16x8_s(v128.load(q, 16), ones)));
    const high = across(i32x4.add(i32x4.dot_i16x8_s(v128.load(q, 32), ones), i32x4.dot_i16x8_s(v128.load(q, 48), ones)));
    store<i32>(sums, -32 * low);
    store<i32>(sums, -32 * high, 4);
    store<i32>(sums, -8 * (low + high), 8);
    store<f32>(sums, <f32>(low + high) * load<f32>(scales), 12);
  }
}

/** Per block of a tile, the sums of its four columns as numbers. */
export function sumTile(q: usize, scales: usize, blocks: i32, sums: usize): void {
  const ones = i16x8.splat(1);
  for (let b = 0; b < blocks; b++, scales += 16, sums += 16) {
    let sum = i32x4.splat(0);
    for (const end = q + 256; q < end; q += 16) sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load(q), ones));
    v128.store(sums, f32x4.mul(f32x4.convert_i32x4_s(sum), v128.load(scales)));
  }
}

// @ts-ignore: decorator
@inline function madd(s: v128, w: v128, c: v128): v128 { return i32x4.add(s, i32x4.dot_i16x8_s(w, c)); }

/** Sums of numbers times 1, 16 and 256 as one. */
// @ts-ignore: decorator
@inline function joined(s: v128, by16: v128, by256: v128): v128 { return i32x4.add(s, i32x4.add(i32x4.shr_s(by16, 4), i32x4.shr_s(by256, 8))); }

/** Packed groups [lo, hi) times one quantised row; y holds the results of group 0 on. `blocks` counts 32 columns each. */
export function vectorBlocks(format: i32, w: usize, q: usize, scales: usize, sums: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  // Two groups at a time share what is loaded of the activations. They come from both halves of the
  // range: neighbours defeat the memory's prefetching, at a third of the speed and half of Q6_K's. The
  // middle one of an odd number is its own partner.
  const bytes = <usize>blocks * (format == Format.q6k ? 105 : 72), half = (hi - lo + 1) >> 1;
  for (let g = lo; g < lo + half; g++) {
    const other = g + half < hi ? g + half : g, at = w + g * bytes, partner = w + other * bytes, to = y + (<usize>g << 4), above = y + (<usize>other << 4);
    if (format == Format.q4) vectorQ4(at, partner, q, scales, sums, to, above, blocks);
    else if (format == Format.q4k) vectorQ4K(at, partner, q, scales, sums, to, above, blocks);
    else vectorQ6K(at, partner, q, scales, sums, to, above, blocks);
  }
}

function vectorQ4(w: usize, x: usize, a: usize, scales: usize, sums: usize, y: usize, z: usize, blocks: i32): void {
  const m0 = mask(0), m1 = mask(1), m2 = mask(2);
  let f = splat(0), g = f;
  for (let b = 0; b < blocks; b++, w += 72, x += 72, scales += 4, sums += 16) {
    let s0 = v128.load32_splat(sums, 8), t0 = s0, s1 = i32x4.splat(0), t1 = s1, s2 = s1, t2 = s1;
    // Rolled: unrolled, it was slower by a fifth.
    for (let j: usize = 0; j < 64; j += 16, a += 16) {
      const v = v128.load(w + j), u = v128.load(x + j);
      let c = v128.load32_splat(a);
      s0 = madd(s0, v128.and(v, m0), c); t0 = madd(t0, v128.and(u, m0), c);
      c = v128.load32_splat(a, 4);
      s1 = madd(s1, v128.and(v, m1), c); t1 = madd(t1, v128.and(u, m1), c);
      c = v128.load32_splat(a, 8);
      s2 = madd(s2, v128.and(v, m2), c); t2 = madd(t2, v128.and(u, m2), c);
      c = v128.load32_splat(a, 12);
      s0 = madd(s0, i16x8.shr_u(v, 12), c); t0 = madd(t0, i16x8.shr_u(u, 12), c);
    }
    f = finish(f, joined(s0, s1, s2), finiteF16x4(w + 64), scales);
    g = finish(g, joined(t0, t1, t2), finiteF16x4(x + 64), scales);
  }
  v128.store(y, f);
  v128.store(z, g);
}

// The 6-bit scales of a Q4_K block: runs 0 to 3 or 4 to 7 as the bytes of a word per row.
// @ts-ignore: decorator
@inline export function scalesK(w: usize, upper: i32): v128 {
  const word = v128.load(w + 528);
  if (!upper) return v128.and(word, mask(6));
  return v128.or(v128.and(v128.load(w + 560), mask(7)), v128.and(i32x4.shr_u(word, 2), mask(8)));
}
// @ts-ignore: decorator
@inline export function minimaK(w: usize, upper: i32): v128 {
  const word = v128.load(w + 544);
  if (!upper) return v128.and(word, mask(6));
  return v128.or(v128.and(i32x4.shr_u(v128.load(w + 560), 4), mask(7)), v128.and(i32x4.shr_u(word, 2), mask(8)));
}
/** The lowest byte of each lane as a number. */
// @ts-ignore: decorator
@inline export function lowest(bytes: v128): v128 { return f32x4.convert_i32x4_s(v128.and(bytes, mask(9))); }

function vectorQ4K(w: usize, x: usize, a: usize, scales: usize, sums: usize, y: usize, z: usize, blocks: i32): void {
  const m0 = mask(0), m1 = mask(1), m2 = mask(2);
  let f = splat(0), g = f;
  for (let b = 0; b < blocks; b += 8, w += 576, x += 576) {
    let main = splat(0), less = main, main2 = main, less2 = main;
    for (let k = 0; k < 8; k++, scales += 4, sums += 16) {
      let s0 = i32x4.splat(0), t0 = s0, s1 = s0, t1 = s0, s2 = s0, t2 = s0;
      const from = <usize>k << 6, shift = (k & 3) << 3;
      for (let j = from; j < from + 64; j += 16, a += 16) {
        const v = v128.load(w + j), u = v128.load(x + j);
        let c = v128.load32_splat(a);
        s0 = madd(s0, v128.and(v, m0), c); t0 = madd(t0, v128.and(u, m0), c);
        c = v128.load32_splat(a, 4);
        s1 = madd(s1, v128.and(v, m1), c); t1 = madd(t1, v128.and(u, m1), c);
        c = v128.load32_splat(a, 8);
        s2 = madd(s2, v128.and(v, m2), c); t2 = madd(t2, v128.and(u, m2), c);
        c = v128.load32_splat(a, 12);
        s0 = madd(s0, i16x8.shr_u(v, 12), c); t0 = madd(t0, i16x8.shr_u(u, 12), c);
      }
      main = finish(main, joined(s0, s1, s2), lowest(i32x4.shr_u(scalesK(w, k >> 2), shift)), scales);
      main2 = finish(main2, joined(t0, t1, t2), lowest(i32x4.shr_u(scalesK(x, k >> 2), shift)), scales);
      const sum = v128.load32_splat(sums, 12);
      less = f32x4.add(less, f32x4.mul(lowest(i32x4.shr_u(minimaK(w, k >> 2), shift)), sum));
      less2 = f32x4.add(less2, f32x4.mul(lowest(i32x4.shr_u(minimaK(x, k >> 2), shift)), sum));
    }
    f = f32x4.add(f, f32x4.sub(f32x4.mul(finiteF16x4(w + 512), main), f32x4.mul(finiteF16x4(w + 520), less)));
    g = f32x4.add(g, f32x4.sub(f32x4.mul(finiteF16x4(x + 512), main2), f32x4.mul(finiteF16x4(x + 520), less2)));
  }
  v128.store(y, f);
  v128.store(z, g);
}

/** Four int8 as int32. */
// @ts-ignore: decorator
@inline function bytes4(p: usize): v128 { return i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(p))); }

// The last two of eight pairs of 6-bit columns: four bits above others, two in the third vector.
// @ts-ignore: decorator
@inline function six6(v0: v128, v2: v128): v128 { return v128.or(i16x8.shr_u(v0, 12), v128.and(i16x8.shr_u(v2, 8), mask(5))); }
// @ts-ignore: decorator
@inline function six7(v1: v128, v2: v128): v128 { return v128.or(i16x8.shr_u(v1, 12), v128.and(i16x8.shr_u(v2, 10), mask(5))); }

function vectorQ6K(w: usize, x: usize, a: usize, scales: usize, sums: usize, y: usize, z: usize, blocks: i32): void {
  const low = mask(3), high = mask(4);
  let f = splat(0), g = f;
  for (let b = 0; b < blocks; b += 8, w += 840, x += 840) {
    let main = splat(0), main2 = main, whole = i32x4.splat(0), whole2 = whole;
    for (let k: usize = 0; k < 16; k++, a += 32) {
      const at = k * 48, by = 768 + (k << 2);
      let s = v128.load32_splat(sums + ((k & 1) << 2)), t = s, s6 = i32x4.splat(0), t6 = s6;
      for (let j: usize = 0; j < 48; j += 16) {
        const v = v128.load(w + at + j), u = v128.load(x + at + j);
        let c = v128.load32_splat(a + (j >> 1));
        s = madd(s, v128.and(v, low), c); t = madd(t, v128.and(u, low), c);
        c = v128.load32_splat(a + (j >> 1), 4);
        s6 = madd(s6, v128.and(v, high), c); t6 = madd(t6, v128.and(u, high), c);
      }
      const v2 = v128.load(w + at, 32), u2 = v128.load(x + at, 32);
      let c = v128.load32_splat(a, 24);
      s = madd(s, six6(v128.load(w + at), v2), c); t = madd(t, six6(v128.load(x + at), u2), c);
      c = v128.load32_splat(a, 28);
      s = madd(s, six7(v128.load(w + at, 16), v2), c); t = madd(t, six7(v128.load(x + at, 16), u2), c);
      whole = i32x4.add(whole, i32x4.mul(i32x4.add(s, i32x4.shr_s(s6, 6)), bytes4(w + by)));
      whole2 = i32x4.add(whole2, i32x4.mul(i32x4.add(t, i32x4.shr_s(t6, 6)), bytes4(x + by)));
      if ((k & 1) == 0) continue;
      const scale = v128.load32_splat(scales);
      main = f32x4.add(main, f32x4.mul(f32x4.convert_i32x4_s(whole), scale));
      main2 = f32x4.add(main2, f32x4.mul(f32x4.convert_i32x4_s(whole2), scale));
      whole = whole2 = i32x4.splat(0);
      scales += 4; sums += 16;
    }
    f = f32x4.add(f, f32x4.mul(finiteF16x4(w + 832), main));
    g = f32x4.add(g, f32x4.mul(finiteF16x4(x + 832), main2));
  }
  v128.store(y, f);
  v128.store(z, g);
}

/** A packed group as int16 pairs of four rows with a scale and a minimum per row and 32 columns. */
export function decodeGroup(format: i32, w: usize, blocks: i32, to: usize): void {
  const perBlock = format == Format.q8 || format == Format.q4 ? 1 : 8;
  for (let b = 0; b < blocks; b += perBlock) {
    for (let j = 0; j < perBlock; j++, to += DECODED_BYTES) {
      if (format == Format.q8) decodeBytes(w, to);
      else if (format == Format.q6k) decodeSix(w, j, to);
      else decodeNibbles(format, w, j, to);
    }
    w += <usize>blockBytes(format) << 2;
  }
}

function decodeBytes(w: usize, to: usize): void {
  for (let j: usize = 0; j < 128; j += 8) v128.store(to + (j << 1), v128.load8x8_s(w + j));
  v128.store(to, finiteF16x4(w + 128), 256);
}

function decodeNibbles(format: i32, w: usize, j: i32, to: usize): void {
  const from = w + (<usize>j << 6), mask = i16x8.splat(15), less = i16x8.splat(format == Format.q4 ? 8 : 0);
  for (let m: usize = 0; m < 4; m++) {
    const v = v128.load(from + (m << 4)), at = to + (m << 6);
    v128.store(at, i16x8.sub(v128.and(v, mask), less));
    v128.store(at, i16x8.sub(v128.and(i16x8.shr_u(v, 4), mask), less), 16);
    v128.store(at, i16x8.sub(v128.and(i16x8.shr_u(v, 8), mask), less), 32);
    v128.store(at, i16x8.sub(i16x8.shr_u(v, 12), less), 48);
  }
  if (format == Format.q4) { v128.store(to, finiteF16x4(w + 64), 256); return; }
  const shift = (j & 3) << 3;
  v128.store(to, f32x4.mul(finiteF16x4(w + 512), lowest(i32x4.shr_u(scalesK(w, j >> 2), shift))), 256);
  v128.store(to, f32x4.mul(finiteF16x4(w + 520), lowest(i32x4.shr_u(minimaK(w, j >> 2), shift))), 272);
}

/** Q6_K's scales of 16 columns go into the int16: the block's f16 is left. */
function decodeSix(w: usize, j: i32, to: usize): void {
  const low = i16x8.splat(63), middle = i16x8.splat(32);
  for (let half = 0; half < 2; half++, to += 128) {
    const from = w + <usize>(2 * j + half) * 48, scale = bytes4(w + 768 + (<usize>(2 * j + half) << 2));
    const by = v128.or(v128.and(scale, i32x4.splat(0xffff)), i32x4.shl(scale, 16));
    for (let m: usize = 0; m < 48; m += 16) {
      const v = v128.load(from + m), at = to + (m << 1);
      v128.store(at, i16x8.mul(i16x8.sub(v128.and(v, low), middle), by));
      v128.store(at, i16x8.mul(i16x8.sub(v128.and(i16x8.shr_u(v, 6), low), middle), by), 16);
    }
    const v2 = v128.load(from, 32);
    v128.store(to, i16x8.mul(i16x8.sub(six6(v128.load(from), v2), middle), by), 96);
    v128.store(to, i16x8.mul(i16x8.sub(six7(v128.load(from, 16), v2), middle), by), 112);
  }
  v128.store(to, finiteF16x4(w + 832));
}

// @ts-ignore: decorator
@inline function below(acc: v128, minimum: v128, sum: usize): v128 { return f32x4.sub(acc, f32x4.mul(minimum, v128.load32_splat(sum))); }

/** Two decoded groups times a tile of four quantised rows; `sums` is 0 for formats without minima. See quantized.ts, tile8. */
export function decodedTile8(w: usize, q: usize, scales: usize, sums: usize, y: usize, at: usize, blocks: i32): void {
  const stride = <usize>blocks * DECODED_BYTES;
  let f0 = splat(0), f1 = f0, f2 = f0, f3 = f0, g0 = f0, g1 = f0, g2 = f0, g3 = f0;
  for (let b = 0; b < blocks; b++) {
    const x = w + stride;
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
    for (let j: usize = 0; j < 256; j += 16) {
      const wv = v128.load(w + j), xv = v128.load(x + j), a = q + j;
      let c = v128.load32_splat(a);
      s0 = i32x4.add(s0, i32x4.dot_i16x8_s(wv, c)); t0 = i32x4.add(t0, i32x4.dot_i16x8_s(xv, c));
      c = v128.load32_splat(a, 4);
      s1 = i32x4.add(s1, i32x4.dot_i16x8_s(wv, c)); t1 = i32x4.add(t1, i32x4.dot_i16x8_s(xv, c));
      c = v128.load32_splat(a, 8);
      s2 = i32x4.add(s2, i32x4.dot_i16x8_s(wv, c)); t2 = i32x4.add(t2, i32x4.dot_i16x8_s(xv, c));
      c = v128.load32_splat(a, 12);
      s3 = i32x4.add(s3, i32x4.dot_i16x8_s(wv, c)); t3 = i32x4.add(t3, i32x4.dot_i16x8_s(xv, c));
    }
    const d = v128.load(w, 256), e = v128.load(x, 256);
    f0 = finish(f0, s0, d, scales); g0 = finish(g0, t0, e, scales);
    f1 = finish(f1, s1, d, scales + 4); g1 = finish(g1, t1, e, scales + 4);
    f2 = finish(f2, s2, d, scales + 8); g2 = finish(g2, t2, e, scales + 8);
    f3 = finish(f3, s3, d, scales + 12); g3 = finish(g3, t3, e, scales + 12);
    if (sums) {
      const m = v128.load(w, 272), n = v128.load(x, 272);
      f0 = below(f0, m, sums); g0 = below(g0, n, sums);
      f1 = below(f1, m, sums + 4); g1 = below(g1, n, sums + 4);
      f2 = below(f2, m, sums + 8); g2 = below(g2, n, sums + 8);
      f3 = below(f3, m, sums + 12); g3 = below(g3, n, sums + 12);
      sums += 16;
    }
    w += DECODED_BYTES; q += 256; scales += 16;
  }
  putTile8(y, at, f0, f1, f2, f3, g0, g1, g2, g3);
}

/** The same for a single group: the last of an odd number. */
export function decodedTile4(w: usize, q: usize, scales: usize, sums: usize, y: usize, at: usize, blocks: i32): void {
  let f0 = splat(0), f1 = f0, f2 = f0, f3 = f0;
  for (let b = 0; b < blocks; b++) {
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let j: usize = 0; j < 256; j += 16) {
      const wv = v128.load(w + j), a = q + j;
      s0 = madd(s0, wv, v128.load32_splat(a)); s1 = madd(s1, wv, v128.load32_splat(a, 4));
      s2 = madd(s2, wv, v128.load32_splat(a, 8)); s3 = madd(s3, wv, v128.load32_splat(a, 12));
    }
    const d = v128.load(w, 256), m = v128.load(w, 272);
    f0 = finish(f0, s0, d, scales); f1 = finish(f1, s1, d, scales + 4);
    f2 = finish(f2, s2, d, scales + 8); f3 = finish(f3, s3, d, scales + 12);
    if (sums) {
      f0 = below(f0, m, sums); f1 = below(f1, m, sums + 4);
      f2 = below(f2, m, sums + 8); f3 = below(f3, m, sums + 12);
      sums += 16;
    }
    w += DECODED_BYTES; q += 256; scales += 16;
  }
  putTile4(y, at, f0, f1, f2, f3);
}
