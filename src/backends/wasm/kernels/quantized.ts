// Activations as int16 with a float32 scale per block of 32, and Q8_0's product with one row of them.
// Weights are repacked once: four rows interleave, so that one load feeds four results. A group is
// blocks of 136 bytes: 16 pairs of columns x 4 rows x 2 int8, then 4 f16 scales. Rows behind the
// last whole group of a matrix stay as stored. 127 x 32767 x 32 fits int32, so that block sums are
// exact and i32x4.dot_i16x8_s does the work (8 products an instruction).

import { ADDRESS_BYTES } from '../abi';
import { finiteF16x4 } from './formats';
import { fma4, larger4, largestOf4, ofSizes4, round4, sizes4, splat } from './math';

/** Row `lane` of a packed block as it was stored. */
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

/** The largest sizes of 32 numbers, in four lanes. */
// @ts-ignore: decorator
@inline export function largest4(p: usize): v128 {
  let m = sizes4(v128.load(p));
  for (let i: usize = 16; i < 128; i += 16) m = larger4(m, sizes4(v128.load(p + i)));
  return ofSizes4(m);
}

// @ts-ignore: decorator
@inline export function largest(p: usize): f32 {
  return largestOf4(largest4(p));
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

// @ts-ignore: decorator
@inline function madd(s: v128, w: usize, c: v128): v128 { return i32x4.add(s, i32x4.dot_i16x8_s(v128.load8x8_s(w), c)); }

/** Packed groups [lo, hi) times one quantised row; y holds the results of group 0 on. */
export function vectorQ8(w: usize, q: usize, scales: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  const bytes = <usize>blocks * 136, half = (hi - lo + 1) >> 1;
  // Two groups share the loads of activations: one from each half, for neighbours defeat prefetching.
  for (let g = lo; g < lo + half; g++) {
    const other = g + half < hi ? g + half : g;
    vectorTwo(w + g * bytes, w + other * bytes, q, scales, y + (<usize>g << 4), y + (<usize>other << 4), blocks);
  }
}

function vectorTwo(w: usize, x: usize, a: usize, scales: usize, y: usize, z: usize, blocks: i32): void {
  let f = splat(0), g = f;
  for (let b = 0; b < blocks; b++, w += 136, x += 136, scales += 4) {
    let s0 = i32x4.splat(0), s1 = s0, t0 = s0, t1 = s0;
    for (let j: usize = 0; j < 128; j += 32, a += 16) {
      const v = w + j, u = x + j;
      let c = v128.load32_splat(a);
      s0 = madd(s0, v, c); t0 = madd(t0, u, c);
      c = v128.load32_splat(a, 4);
      s1 = madd(s1, v + 8, c); t1 = madd(t1, u + 8, c);
      c = v128.load32_splat(a, 8);
      s0 = madd(s0, v + 16, c); t0 = madd(t0, u + 16, c);
      c = v128.load32_splat(a, 12);
      s1 = madd(s1, v + 24, c); t1 = madd(t1, u + 24, c);
    }
    f = finish(f, i32x4.add(s0, s1), finiteF16x4(w + 128), scales);
    g = finish(g, i32x4.add(t0, t1), finiteF16x4(x + 128), scales);
  }
  v128.store(y, f);
  v128.store(z, g);
}

// @ts-ignore: decorator
@inline export function finish(acc: v128, sum: v128, d: v128, scale: usize): v128 {
  return fma4(acc, f32x4.convert_i32x4_s(sum), f32x4.mul(d, v128.load32_splat(scale)));
}

/**
 * Two packed groups times a tile of four quantised rows, for a panel of few: more, and decoding the groups
 * once pays (block-products.ts). `y` is a table of four output rows.
 */
export function tileQ8(w: usize, q: usize, scales: usize, y: usize, at: usize, blocks: i32): void {
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
  putTile8(y, at, f0, f1, f2, f3, g0, g1, g2, g3);
}

/** A tile's columns, each to the output row that its entry of the table names. The last is put first: see `blockPanel`. */
// @ts-ignore: decorator
@inline export function putTile4(y: usize, at: usize, c0: v128, c1: v128, c2: v128, c3: v128): void {
  put4(y + 3 * ADDRESS_BYTES, at, c3);
  put4(y + 2 * ADDRESS_BYTES, at, c2);
  put4(y + ADDRESS_BYTES, at, c1);
  put4(y, at, c0);
}

/** The same of two groups: `c` of the first, `d` of the second. */
// @ts-ignore: decorator
@inline export function putTile8(y: usize, at: usize, c0: v128, c1: v128, c2: v128, c3: v128, d0: v128, d1: v128, d2: v128, d3: v128): void {
  put8(y + 3 * ADDRESS_BYTES, at, c3, d3);
  put8(y + 2 * ADDRESS_BYTES, at, c2, d2);
  put8(y + ADDRESS_BYTES, at, c1, d1);
  put8(y, at, c0, d0);
}

// @ts-ignore: decorator
@inline function put4(y: usize, at: usize, v: v128): void { v128.store(load<usize>(y) + at, v); }

// @ts-ignore: decorator
@inline function put8(y: usize, at: usize, v: v128, w: v128): void {
  const to = load<usize>(y) + at;
  v128.store(to, v);
  v128.store(to, w, 16);
}
