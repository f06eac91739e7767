// Q8_0 products. Weights are repacked once: four rows interleave, so that one load feeds four
// results. A group is blocks of 136 bytes: 16 pairs of columns x 4 rows x 2 int8, then 4 f16
// scales. Rows behind the last whole group of a matrix stay as stored.
// Activations become int16 with one float32 scale per block of 32: 127 x 32767 x 32 fits int32,
// so that block sums are exact and i32x4.dot_i16x8_s does the work (8 products an instruction).

import { f16, finiteF16x4 } from './formats';
import { fma4, round4, splat } from './math';

/** Row `lane` of a group's block, as stored, into its place in the packed block. */
export function packQ8(stored: usize, packed: usize, lane: i32): void {
  const pairs = packed + (lane << 1);
  store<u16>(pairs + 128, load<u16>(stored));
  for (let j: usize = 0; j < 16; j++) store<u16>(pairs + (j << 3), load<u16>(stored + 2 + (j << 1)));
}

/** The inverse. */
export function unpackQ8(packed: usize, stored: usize, lane: i32): void {
  const pairs = packed + (lane << 1);
  store<u16>(stored, load<u16>(pairs + 128));
  for (let j: usize = 0; j < 16; j++) store<u16>(stored + 2 + (j << 1), load<u16>(pairs + (j << 3)));
}

/** Four floats times `inverse`, rounded to int32. */
// @ts-ignore: decorator
@inline export function rounded(p: usize, inverse: v128): v128 {
  return round4(f32x4.mul(v128.load(p), inverse));
}

// @ts-ignore: decorator
@inline export function largest(p: usize): f32 {
  let m = f32x4.abs(v128.load(p));
  for (let i: usize = 16; i < 128; i += 16) m = f32x4.max(m, f32x4.abs(v128.load(p + i)));
  return max<f32>(max<f32>(f32x4.extract_lane(m, 0), f32x4.extract_lane(m, 1)), max<f32>(f32x4.extract_lane(m, 2), f32x4.extract_lane(m, 3)));
}

/** One row: int16 in order, up to `limit`; a scale per block. */
export function quantizeRow(x: usize, blocks: i32, limit: f32, q: usize, scales: usize): void {
  for (let b = 0; b < blocks; b++, x += 128, q += 64, scales += 4) {
    const top = largest(x), inverse = splat(top > 0 ? limit / top : 0);
    store<f32>(scales, top / limit);
    for (let i: usize = 0; i < 4; i++) v128.store(q + (i << 4), i16x8.narrow_i32x4_s(rounded(x + (i << 5), inverse), rounded(x + (i << 5) + 16, inverse)));
  }
}

/** The same into column `column` of a tile of four rows: pairs and scales of the four lie side by side. */
export function quantizeColumn(x: usize, blocks: i32, limit: f32, column: i32, q: usize, scales: usize): void {
  q += <usize>column << 2;
  scales += <usize>column << 2;
  for (let b = 0; b < blocks; b++, x += 128, q += 256, scales += 16) {
    const top = largest(x), inverse = splat(top > 0 ? limit / top : 0);
    store<f32>(scales, top / limit);
    for (let i: usize = 0; i < 4; i++) {
      const v = i16x8.narrow_i32x4_s(rounded(x + (i << 5), inverse), rounded(x + (i << 5) + 16, inverse)), at = q + (i << 6);
      v128.store32_lane(at, v, 0);
      v128.store32_lane(at, v, 1, 16);
      v128.store32_lane(at, v, 2, 32);
      v128.store32_lane(at, v, 3, 48);
    }
  }
}

/** An unused column of a tile. */
export function clearColumn(blocks: i32, column: i32, q: usize, scales: usize): void {
  for (let b = 0; b < blocks; b++) {
    store<f32>(scales + (<usize>column << 2) + (<usize>b << 4), 0);
    for (let j: usize = 0; j < 16; j++) store<i32>(q + (<usize>column << 2) + (<usize>b << 8) + (j << 4), 0);
  }
}

// @ts-ignore: decorator
@inline function madd(s: v128, w: usize, a: usize): v128 { return i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(w), v128.load32_splat(a))); }

/** Packed groups [lo, hi) times one quantised row; y holds the results of group 0 on. */
export function vectorGroups(w: usize, q: usize, scales: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  w += <usize>lo * blocks * 136;
  for (let g = lo; g < hi; g++) {
    let acc = splat(0), a = q, s = scales;
    for (let b = 0; b < blocks; b++, w += 136, a += 64, s += 4) {
      let s0 = i32x4.splat(0), s1 = s0;
      s0 = madd(s0, w, a); s1 = madd(s1, w + 8, a + 4); s0 = madd(s0, w + 16, a + 8); s1 = madd(s1, w + 24, a + 12);
      s0 = madd(s0, w + 32, a + 16); s1 = madd(s1, w + 40, a + 20); s0 = madd(s0, w + 48, a + 24); s1 = madd(s1, w + 56, a + 28);
      s0 = madd(s0, w + 64, a + 32); s1 = madd(s1, w + 72, a + 36); s0 = madd(s0, w + 80, a + 40); s1 = madd(s1, w + 88, a + 44);
      s0 = madd(s0, w + 96, a + 48); s1 = madd(s1, w + 104, a + 52); s0 = madd(s0, w + 112, a + 56); s1 = madd(s1, w + 120, a + 60);
      acc = finish(acc, i32x4.add(s0, s1), finiteF16x4(w + 128), s);
    }
    v128.store(y + (<usize>g << 4), acc);
  }
}

// @ts-ignore: decorator
@inline export function finish(acc: v128, sum: v128, d: v128, scale: usize): v128 {
  return fma4(acc, f32x4.convert_i32x4_s(sum), f32x4.mul(d, v128.load32_splat(scale)));
}

/** Two packed groups times a tile of four quantised rows; `y` is a table of four output rows. */
export function tile8(w: usize, q: usize, scales: usize, y: usize, at: usize, blocks: i32): void {
  const stride = <usize>blocks * 136;
  let f0 = splat(0), f1 = f0, f2 = f0, f3 = f0, g0 = f0, g1 = f0, g2 = f0, g3 = f0;
  for (let b = 0; b < blocks; b++) {
    const x = w + stride;
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
    for (let j: usize = 0; j < 128; j += 8) {
      const wv = v128.load8x8_s(w + j), xv = v128.load8x8_s(x + j), a = q + (j << 1);
      let c = v128.load32_splat(a);
      s0 = i32x4.add(s0, i32x4.dot_i16x8_s(wv, c)); t0 = i32x4.add(t0, i32x4.dot_i16x8_s(xv, c));
      c = v128.load32_splat(a, 4);
      s1 = i32x4.add(s1, i32x4.dot_i16x8_s(wv, c)); t1 = i32x4.add(t1, i32x4.dot_i16x8_s(xv, c));
      c = v128.load32_splat(a, 8);
      s2 = i32x4.add(s2, i32x4.dot_i16x8_s(wv, c)); t2 = i32x4.add(t2, i32x4.dot_i16x8_s(xv, c));
      c = v128.load32_splat(a, 12);
      s3 = i32x4.add(s3, i32x4.dot_i16x8_s(wv, c)); t3 = i32x4.add(t3, i32x4.dot_i16x8_s(xv, c));
    }
    const d = finiteF16x4(w + 128), e = finiteF16x4(x + 128);
    f0 = finish(f0, s0, d, scales); g0 = finish(g0, t0, e, scales);
    f1 = finish(f1, s1, d, scales + 4); g1 = finish(g1, t1, e, scales + 4);
    f2 = finish(f2, s2, d, scales + 8); g2 = finish(g2, t2, e, scales + 8);
    f3 = finish(f3, s3, d, scales + 12); g3 = finish(g3, t3, e, scales + 12);
    w += 136; q += 256; scales += 16;
  }
  put8(y + 12, at, f3, g3);
  put8(y + 8, at, f2, g2);
  put8(y + 4, at, f1, g1);
  put8(y, at, f0, g0);
}

/** The same for a single group: the last of an odd number. */
export function tile4(w: usize, q: usize, scales: usize, y: usize, at: usize, blocks: i32): void {
  let f0 = splat(0), f1 = f0, f2 = f0, f3 = f0;
  for (let b = 0; b < blocks; b++) {
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let j: usize = 0; j < 128; j += 8) {
      const wv = v128.load8x8_s(w + j), a = q + (j << 1);
      s0 = i32x4.add(s0, i32x4.dot_i16x8_s(wv, v128.load32_splat(a)));
      s1 = i32x4.add(s1, i32x4.dot_i16x8_s(wv, v128.load32_splat(a, 4)));
      s2 = i32x4.add(s2, i32x4.dot_i16x8_s(wv, v128.load32_splat(a, 8)));
      s3 = i32x4.add(s3, i32x4.dot_i16x8_s(wv, v128.load32_splat(a, 12)));
    }
    const d = finiteF16x4(w + 128);
    f0 = finish(f0, s0, d, scales); f1 = finish(f1, s1, d, scales + 4);
    f2 = finish(f2, s2, d, scales + 8); f3 = finish(f3, s3, d, scales + 12);
    w += 136; q += 256; scales += 16;
  }
  put4(y + 12, at, f3);
  put4(y + 8, at, f2);
  put4(y + 4, at, f1);
  put4(y, at, f0);
}

/** A tile's column, to the output row that its entry of the table names. The last column is put first: see `quantizePanel`. */
// @ts-ignore: decorator
@inline export function put4(y: usize, at: usize, v: v128): void { v128.store(<usize>load<u32>(y) + at, v); }

// @ts-ignore: decorator
@inline export function put8(y: usize, at: usize, v: v128, w: v128): void {
  const to = <usize>load<u32>(y) + at;
  v128.store(to, v);
  v128.store(to, w, 16);
}

/** One stored row times one quantised row; pairs of the latter are `pairStride` bytes apart. */
export function storedRow(w: usize, q: usize, scales: usize, blocks: i32, pairStride: usize, scaleStride: usize): f32 {
  let acc: f32 = 0;
  for (let b = 0; b < blocks; b++, w += 34, scales += scaleStride) {
    let sum = 0;
    for (let j: usize = 0; j < 16; j++, q += pairStride) {
      sum += <i32>load<i8>(w + 2 + (j << 1)) * <i32>load<i16>(q) + <i32>load<i8>(w + 3 + (j << 1)) * <i32>load<i16>(q, 2);
    }
    acc += <f32>sum * (f16(w) * load<f32>(scales));
  }
  return acc;
}
