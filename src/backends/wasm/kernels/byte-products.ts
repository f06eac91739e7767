// Products of packed Q8_0 matrices (quantized.ts) with activations of eight bits, as in llama.cpp, where the
// processor multiplies bytes and sums four products in one instruction: sixteen products for the eight of int16.
//
// The standard's instruction takes a factor of seven bits and leaves open what an eighth is. Processors that
// have it (x86 with AVX-VNNI, Arm with dot products) compute exactly with it: it counts as 128 or as -128,
// which a product on first use tells. Where it is made of several instructions, pairs of products saturate
// (other x86), and int16 is as fast. Sums within 32 columns are exact.

import { DECODED_BYTES } from '../abi';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { finish, largest, putTile4, putTile8, rounded } from './quantized';

const LIMIT: f32 = 127;
const PROBE = memory.data<u8>([127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], 16);
/** See math.ts on constants. */
const ONES = memory.data<u8>([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 16);
const UNKNOWN = -2;
let offset: i32 = UNKNOWN;

/** What is added to activations, so that they are bytes as the instruction takes them: 128 where it has no negative ones, 0 where it has; -1 where there is no such instruction. */
export function byteOffset(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return -1;
  if (offset == UNKNOWN) {
    const sum = i32x4.extract_lane(dots(i32x4.splat(0), v128.load(PROBE), v128.load(PROBE, 16)), 0);
    offset = sum == 4 * 127 * 255 ? 128 : sum == -4 * 127 ? 0 : -1;
  }
  return offset;
}

// @ts-ignore: decorator
@inline function dots(sum: v128, weights: v128, bytes: v128): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return unreachable();
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(weights, bytes, sum);
}

/** Sixteen activations as bytes; `flip` adds the offset. */
// @ts-ignore: decorator
@inline function bytes16(x: usize, inverse: v128, flip: v128): v128 {
  const low = i16x8.narrow_i32x4_s(rounded(x, inverse), rounded(x + 16, inverse));
  return v128.xor(i8x16.narrow_i16x8_s(low, i16x8.narrow_i32x4_s(rounded(x + 32, inverse), rounded(x + 48, inverse))), flip);
}

/** One row; a scale per block. */
export function quantizeSums(x: usize, blocks: i32, q: usize, scales: usize): void {
  const flip = i8x16.splat(<i8>byteOffset());
  for (let b = 0; b < blocks; b++, x += 128, q += 32, scales += 4) {
    const top = largest(x), inverse = splat(top > 0 ? LIMIT / top : 0);
    v128.store(q, bytes16(x, inverse, flip));
    v128.store(q, bytes16(x + 64, inverse, flip), 16);
    store<f32>(scales, top / LIMIT);
  }
}

/** The same into column `column` of a tile of four rows: every four bytes of the four lie side by side. */
export function quantizeSumsColumn(x: usize, blocks: i32, column: i32, q: usize, scales: usize): void {
  const flip = i8x16.splat(<i8>byteOffset());
  q += <usize>column << 2;
  scales += <usize>column << 2;
  for (let b = 0; b < blocks; b++, scales += 16) {
    const top = largest(x), inverse = splat(top > 0 ? LIMIT / top : 0);
    store<f32>(scales, top / LIMIT);
    for (let half = 0; half < 2; half++, x += 64, q += 64) {
      const v = bytes16(x, inverse, flip);
      v128.store32_lane(q, v, 0); v128.store32_lane(q, v, 1, 16); v128.store32_lane(q, v, 2, 32); v128.store32_lane(q, v, 3, 48);
    }
  }
}

/** Sixteen packed bytes with the four columns of each row side by side. */
// @ts-ignore: decorator
@inline function quads(w: usize): v128 {
  const v = v128.load(w);
  return v128.shuffle<i16>(v, v128.shuffle<i64>(v, v, 1, 0), 0, 8, 1, 9, 2, 10, 3, 11);
}

/** With which a product of weights is their sum where activations have an offset, or nothing. */
// @ts-ignore: decorator
@inline function counted(): v128 { return byteOffset() > 0 ? v128.load(ONES) : i32x4.splat(0); }
/** What the offset adds to a block's sums. */
// @ts-ignore: decorator
@inline function excess(sums: v128): v128 { return i32x4.shl(sums, 7); }

/** Packed groups [lo, hi) times one row; y holds the results of group 0 on. */
export function vectorSums(w: usize, q: usize, scales: usize, y: usize, lo: i32, hi: i32, blocks: i32): void {
  const bytes = <usize>blocks * 136, half = (hi - lo + 1) >> 1;
  // Two groups share the loads of activations: one from each half, for neighbours defeat prefetching.
  for (let g = lo; g < lo + half; g++) {
    const other = g + half < hi ? g + half : g;
    vectorTwo(w + g * bytes, w + other * bytes, q, scales, y + (<usize>g << 4), y + (<usize>other << 4), blocks);
  }
}

function vectorTwo(w: usize, x: usize, a: usize, scales: usize, y: usize, z: usize, blocks: i32): void {
  const ones = counted();
  let f = splat(0), g = f;
  for (let b = 0; b < blocks; b++, w += 136, x += 136, scales += 4) {
    let s = i32x4.splat(0), t = s, m = s, n = s;
    for (let j: usize = 0; j < 128; j += 16, a += 4) {
      const v = quads(w + j), u = quads(x + j), c = v128.load32_splat(a);
      s = dots(s, v, c); t = dots(t, u, c);
      m = dots(m, v, ones); n = dots(n, u, ones);
    }
    f = finish(f, i32x4.sub(s, excess(m)), finiteF16x4(w + 128), scales);
    g = finish(g, i32x4.sub(t, excess(n)), finiteF16x4(x + 128), scales);
  }
  v128.store(y, f);
  v128.store(z, g);
}

/** Adds a block's sums to those of the row that `to` holds. */
// @ts-ignore: decorator
@inline function finishIn(to: usize, sum: v128, d: v128, scale: usize): void { v128.store(to, finish(v128.load(to), sum, d, scale)); }

/**
 * A packed group, as it is, times two tiles of four rows (the same twice, for want of another): few rows wait for
 * the matrix, and what is computed with it while it is read costs nothing. `y` and `z` are tables of four output
 * rows. Their sums are kept in 128 bytes at `rows`: in variables they would take registers from those of a block.
 */
export function fewSums(w: usize, p: usize, q: usize, scales: usize, others: usize, y: usize, z: usize, at: usize, blocks: i32, rows: usize): void {
  const ones = counted();
  memory.fill(rows, 0, 128);
  for (let b = 0; b < blocks; b++, w += 136, scales += 16, others += 16) {
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0, sum = s0;
    for (let j: usize = 0; j < 128; j += 16, p += 16, q += 16) {
      const v = quads(w + j);
      sum = dots(sum, v, ones);
      s0 = dots(s0, v, v128.load32_splat(p)); s1 = dots(s1, v, v128.load32_splat(p, 4));
      s2 = dots(s2, v, v128.load32_splat(p, 8)); s3 = dots(s3, v, v128.load32_splat(p, 12));
      t0 = dots(t0, v, v128.load32_splat(q)); t1 = dots(t1, v, v128.load32_splat(q, 4));
      t2 = dots(t2, v, v128.load32_splat(q, 8)); t3 = dots(t3, v, v128.load32_splat(q, 12));
    }
    const d = finiteF16x4(w + 128), m = excess(sum);
    finishIn(rows, i32x4.sub(s0, m), d, scales); finishIn(rows + 16, i32x4.sub(s1, m), d, scales + 4);
    finishIn(rows + 32, i32x4.sub(s2, m), d, scales + 8); finishIn(rows + 48, i32x4.sub(s3, m), d, scales + 12);
    finishIn(rows + 64, i32x4.sub(t0, m), d, others); finishIn(rows + 80, i32x4.sub(t1, m), d, others + 4);
    finishIn(rows + 96, i32x4.sub(t2, m), d, others + 8); finishIn(rows + 112, i32x4.sub(t3, m), d, others + 12);
  }
  putTile4(z, at, v128.load(rows, 64), v128.load(rows, 80), v128.load(rows, 96), v128.load(rows, 112));
  putTile4(y, at, v128.load(rows), v128.load(rows, 16), v128.load(rows, 32), v128.load(rows, 48));
}

/** A packed group as quads, the scales of its rows, and what the offset adds to their sums. */
export function decodeQuads(w: usize, blocks: i32, to: usize): void {
  const ones = counted();
  for (let b = 0; b < blocks; b++, w += 136, to += DECODED_BYTES) {
    let sum = i32x4.splat(0);
    for (let j: usize = 0; j < 128; j += 16) {
      const v = quads(w + j);
      v128.store(to + j, v);
      sum = dots(sum, v, ones);
    }
    v128.store(to, finiteF16x4(w + 128), 128);
    v128.store(to, excess(sum), 144);
  }
}

/** Two decoded groups times a tile of four rows; `y` is a table of four output rows. See quantized.ts, tileQ8. */
export function tileSums8(w: usize, q: usize, scales: usize, y: usize, at: usize, blocks: i32): void {
  const stride = <usize>blocks * DECODED_BYTES;
  let f0 = splat(0), f1 = f0, f2 = f0, f3 = f0, g0 = f0, g1 = f0, g2 = f0, g3 = f0;
  for (let b = 0; b < blocks; b++, w += DECODED_BYTES, q += 128, scales += 16) {
    const x = w + stride;
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, t0 = s0, t1 = s0, t2 = s0, t3 = s0;
    for (let j: usize = 0; j < 128; j += 16) {
      const v = v128.load(w + j), u = v128.load(x + j), a = q + j;
      let c = v128.load32_splat(a);
      s0 = dots(s0, v, c); t0 = dots(t0, u, c);
      c = v128.load32_splat(a, 4);
      s1 = dots(s1, v, c); t1 = dots(t1, u, c);
      c = v128.load32_splat(a, 8);
      s2 = dots(s2, v, c); t2 = dots(t2, u, c);
      c = v128.load32_splat(a, 12);
      s3 = dots(s3, v, c); t3 = dots(t3, u, c);
    }
    const d = v128.load(w, 128), e = v128.load(x, 128), m = v128.load(w, 144), n = v128.load(x, 144);
    f0 = finish(f0, i32x4.sub(s0, m), d, scales); g0 = finish(g0, i32x4.sub(t0, n), e, scales);
    f1 = finish(f1, i32x4.sub(s1, m), d, scales + 4); g1 = finish(g1, i32x4.sub(t1, n), e, scales + 4);
    f2 = finish(f2, i32x4.sub(s2, m), d, scales + 8); g2 = finish(g2, i32x4.sub(t2, n), e, scales + 8);
    f3 = finish(f3, i32x4.sub(s3, m), d, scales + 12); g3 = finish(g3, i32x4.sub(t3, n), e, scales + 12);
  }
  putTile8(y, at, f0, f1, f2, f3, g0, g1, g2, g3);
}

/** The same for a single group: the last of an odd number. */
export function tileSums4(w: usize, q: usize, scales: usize, y: usize, at: usize, blocks: i32): void {
  let f0 = splat(0), f1 = f0, f2 = f0, f3 = f0;
  for (let b = 0; b < blocks; b++, w += DECODED_BYTES, q += 128, scales += 16) {
    let s0 = i32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
    for (let j: usize = 0; j < 128; j += 16) {
      const v = v128.load(w + j), a = q + j;
      s0 = dots(s0, v, v128.load32_splat(a)); s1 = dots(s1, v, v128.load32_splat(a, 4));
      s2 = dots(s2, v, v128.load32_splat(a, 8)); s3 = dots(s3, v, v128.load32_splat(a, 12));
    }
    const d = v128.load(w, 128), m = v128.load(w, 144);
    f0 = finish(f0, i32x4.sub(s0, m), d, scales); f1 = finish(f1, i32x4.sub(s1, m), d, scales + 4);
    f2 = finish(f2, i32x4.sub(s2, m), d, scales + 8); f3 = finish(f3, i32x4.sub(s3, m), d, scales + 12);
  }
  putTile4(y, at, f0, f1, f2, f3);
}
