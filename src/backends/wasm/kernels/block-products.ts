// Products of packed Q4_0, Q4_K and Q6_K matrices (blocks.ts) with activations of up to 16 bits
// (quantized.ts). Sums within 32 columns are exact.
// One row of activations: masks leave a number times 1, 16 or 256 in place, each power has a sum of
// its own and only these are shifted; what formats subtract (8, 32, a minimum) is taken from sums of
// activations. Several rows: four weight rows are decoded to int16 once and multiply all of them.

import { DECODED_BYTES, Format } from '../abi';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { finish, put } from './quantized';

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
@inline function madd(s: v128, w: v128, a: usize): v128 { return i32x4.add(s, i32x4.dot_i16x8_s(w, v128.load32_splat(a))); }

/** 32 columns of four rows of 4-bit numbers times activations, plus `start`. */
// @ts-ignore: decorator
@inline function dotNibbles(w: usize, a: usize, start: v128): v128 {
  const m0 = i16x8.splat(0x000f), m1 = i16x8.splat(0x00f0), m2 = i16x8.splat(0x0f00);
  let v = v128.load(w), s0 = start, s1 = i32x4.splat(0), s2 = s1, s3 = s1;
  s0 = madd(s0, v128.and(v, m0), a); s1 = madd(s1, v128.and(v, m1), a + 4); s2 = madd(s2, v128.and(v, m2), a + 8); s3 = madd(s3, i16x8.shr_u(v, 12), a + 12);
  v = v128.load(w, 16);
  s0 = madd(s0, v128.and(v, m0), a + 16); s1 = madd(s1, v128.and(v, m1), a + 20); s2 = madd(s2, v128.and(v, m2), a + 24); s3 = madd(s3, i16x8.shr_u(v, 12), a + 28);
  v = v128.load(w, 32);
  s0 = madd(s0, v128.and(v, m0), a + 32); s1 = madd(s1, v128.and(v, m1), a + 36); s2 = madd(s2, v128.and(v, m2), a + 40); s3 = madd(s3, i16x8.shr_u(v, 12), a + 44);
  v = v128.load(w, 48);
  s0 = madd(s0, v128.and(v, m0), a + 48); s1 = madd(s1, v128.and(v, m1), a + 52); s2 = madd(s2, v128.and(v, m2), a + 56); s3 = madd(s3, i16x8.shr_u(v, 12), a + 60);
  return i32x4.add(i32x4.add(s0, s3), i32x4.add(i32x4.shr_s(s1, 4), i32x4.shr_s(s2, 8)));
}

/** Packed groups [lo, hi) times one quantised row; y holds the results of group 0 on. `blocks` counts 32 columns each. */
export function vectorBlocks(format: i32, w: usize, q: usize, scales: usize, sums: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  if (format == Format.q4) vectorQ4(w, q, scales, sums, y, lo, hi, blocks);
  else if (format == Format.q4k) vectorQ4K(w, q, scales, sums, y, lo, hi, blocks);
  else vectorQ6K(w, q, scales, sums, y, lo, hi, blocks);
}

function vectorQ4(w: usize, q: usize, scales: usize, sums: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  w += <usize>lo * blocks * 72;
  for (let g = lo; g < hi; g++) {
    let acc = splat(0), a = q, s = scales, t = sums;
    for (let b = 0; b < blocks; b++, w += 72, a += 64, s += 4, t += 16) {
      acc = finish(acc, dotNibbles(w, a, v128.load32_splat(t, 8)), finiteF16x4(w + 64), s);
    }
    v128.store(y + (<usize>g << 4), acc);
  }
}

// The 6-bit scales of a Q4_K block: runs 0 to 3 or 4 to 7 as the bytes of a word per row.
// @ts-ignore: decorator
@inline function scalesK(w: usize, upper: i32): v128 {
  const word = v128.load(w + 528);
  if (!upper) return v128.and(word, i8x16.splat(63));
  return v128.or(v128.and(v128.load(w + 560), i8x16.splat(15)), v128.and(i32x4.shr_u(word, 2), i8x16.splat(48)));
}
// @ts-ignore: decorator
@inline function minimaK(w: usize, upper: i32): v128 {
  const word = v128.load(w + 544);
  if (!upper) return v128.and(word, i8x16.splat(63));
  return v128.or(v128.and(i32x4.shr_u(v128.load(w + 560), 4), i8x16.splat(15)), v128.and(i32x4.shr_u(word, 2), i8x16.splat(48)));
}
/** The lowest byte of each lane as a number. */
// @ts-ignore: decorator
@inline function lowest(bytes: v128): v128 { return f32x4.convert_i32x4_s(v128.and(bytes, i32x4.splat(255))); }

function vectorQ4K(w: usize, q: usize, scales: usize, sums: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  w += <usize>lo * (blocks >> 3) * 576;
  for (let g = lo; g < hi; g++) {
    let acc = splat(0), a = q, s = scales, t = sums;
    for (let b = 0; b < blocks; b += 8, w += 576) {
      let main = splat(0), less = main, by = scalesK(w, 0), minus = minimaK(w, 0), v = w;
      for (let j = 0; j < 8; j++, v += 64, a += 64, s += 4, t += 16) {
        if (j == 4) { by = scalesK(w, 1); minus = minimaK(w, 1); }
        main = finish(main, dotNibbles(v, a, i32x4.splat(0)), lowest(by), s);
        less = f32x4.add(less, f32x4.mul(lowest(minus), v128.load32_splat(t, 12)));
        by = i32x4.shr_u(by, 8); minus = i32x4.shr_u(minus, 8);
      }
      acc = f32x4.add(acc, f32x4.sub(f32x4.mul(finiteF16x4(w + 512), main), f32x4.mul(finiteF16x4(w + 520), less)));
    }
    v128.store(y + (<usize>g << 4), acc);
  }
}

/** Four int8 as int32. */
// @ts-ignore: decorator
@inline function bytes4(p: usize): v128 { return i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(p))); }

// Pairs of columns k (of 8) as 6-bit numbers: 4 bits of `v`, 2 of `h`.
// @ts-ignore: decorator
@inline function six0(v: v128, h: v128): v128 { return v128.or(v128.and(v, i16x8.splat(15)), v128.and(h, i16x8.splat(48))); }
// @ts-ignore: decorator
@inline function six3(v: v128, h: v128): v128 { return v128.or(i16x8.shr_u(v, 12), v128.and(h, i16x8.splat(48))); }

/** 16 columns of four rows of 6-bit numbers times activations, plus `start`. */
// @ts-ignore: decorator
@inline function dotSix(w: usize, above: usize, a: usize, start: v128): v128 {
  const h = v128.load(above);
  let v = v128.load(w), s = start, t = i32x4.splat(0);
  s = madd(s, six0(v, i16x8.shl(h, 4)), a); t = madd(t, six0(i16x8.shr_u(v, 4), i16x8.shl(h, 2)), a + 4);
  s = madd(s, six0(i16x8.shr_u(v, 8), h), a + 8); t = madd(t, six3(v, i16x8.shr_u(h, 2)), a + 12);
  v = v128.load(w, 16);
  s = madd(s, six0(v, i16x8.shr_u(h, 4)), a + 16); t = madd(t, six0(i16x8.shr_u(v, 4), i16x8.shr_u(h, 6)), a + 20);
  s = madd(s, six0(i16x8.shr_u(v, 8), i16x8.shr_u(h, 8)), a + 24); t = madd(t, six3(v, i16x8.shr_u(h, 10)), a + 28);
  return i32x4.add(s, t);
}

function vectorQ6K(w: usize, q: usize, scales: usize, sums: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  w += <usize>lo * (blocks >> 3) * 840;
  for (let g = lo; g < hi; g++) {
    let acc = splat(0), a = q, s = scales, t = sums;
    for (let b = 0; b < blocks; b += 8, w += 840) {
      let main = splat(0);
      for (let j: usize = 0; j < 8; j++, a += 64, s += 4, t += 16) {
        const v = w + (j << 6), above = w + 512 + (j << 5), by = w + 768 + (j << 3);
        const low = i32x4.mul(dotSix(v, above, a, v128.load32_splat(t)), bytes4(by));
        const high = i32x4.mul(dotSix(v + 32, above + 16, a + 32, v128.load32_splat(t, 4)), bytes4(by + 4));
        main = f32x4.add(main, f32x4.mul(f32x4.convert_i32x4_s(i32x4.add(low, high)), v128.load32_splat(s)));
      }
      acc = f32x4.add(acc, f32x4.mul(finiteF16x4(w + 832), main));
    }
    v128.store(y + (<usize>g << 4), acc);
  }
}

/** A packed group as int16 pairs of four rows with a scale and a minimum per row and 32 columns. */
export function decodeGroup(format: i32, w: usize, blocks: i32, to: usize): void {
  const perBlock = format == Format.q4 ? 1 : 8;
  for (let b = 0; b < blocks; b += perBlock) {
    for (let j = 0; j < perBlock; j++, to += DECODED_BYTES) {
      if (format == Format.q6k) decodeSix(w, j, to);
      else decodeNibbles(format, w, j, to);
    }
    w += format == Format.q4 ? 72 : format == Format.q4k ? 576 : 840;
  }
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
  const middle = i16x8.splat(32);
  for (let half: usize = 0; half < 2; half++) {
    const from = w + (<usize>j << 6) + (half << 5), scale = bytes4(w + 768 + (<usize>j << 3) + (half << 2)), at = to + (half << 7);
    const by = v128.or(v128.and(scale, i32x4.splat(0xffff)), i32x4.shl(scale, 16));
    const upper = v128.load(w + 512 + (<usize>j << 5) + (half << 4));
    for (let m: usize = 0; m < 2; m++) {
      const v = v128.load(from + (m << 4)), h = m ? i16x8.shr_u(upper, 8) : upper, run = at + (m << 6);
      v128.store(run, i16x8.mul(i16x8.sub(six0(v, i16x8.shl(h, 4)), middle), by));
      v128.store(run, i16x8.mul(i16x8.sub(six0(i16x8.shr_u(v, 4), i16x8.shl(h, 2)), middle), by), 16);
      v128.store(run, i16x8.mul(i16x8.sub(six0(i16x8.shr_u(v, 8), h), middle), by), 32);
      v128.store(run, i16x8.mul(i16x8.sub(six3(v, i16x8.shr_u(h, 2)), middle), by), 48);
    }
  }
  v128.store(to, finiteF16x4(w + 832), 256);
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
  put(y, at, f0); put(y, at + 16, g0);
  put(y + 4, at, f1); put(y + 4, at + 16, g1);
  put(y + 8, at, f2); put(y + 8, at + 16, g2);
  put(y + 12, at, f3); put(y + 12, at + 16, g3);
}

/** The same for a single group: the last of an odd number. */
export function decodedTile4(w: usize, q: usize, scales: usize, sums: usize, y: usize, at: usize, blocks: i32): void {
  let f0 = splat(0), f1 = f0, f2 = f0, f3 = f0;
  for (let b = 0; b < blocks; b++) {
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let j: usize = 0; j < 256; j += 16) {
      const wv = v128.load(w + j), a = q + j;
      s0 = madd(s0, wv, a); s1 = madd(s1, wv, a + 4); s2 = madd(s2, wv, a + 8); s3 = madd(s3, wv, a + 12);
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
  put(y, at, f0);
  put(y + 4, at, f1);
  put(y + 8, at, f2);
  put(y + 12, at, f3);
}
