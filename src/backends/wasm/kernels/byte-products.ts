// Products of packed Q8_0 matrices (quantized.ts) with few rows of int8 activations (byte-rows.ts), as in
// llama.cpp, where the processor has dot products of bytes: sixteen products for the eight of int16. Sums
// within 32 columns are exact. Many rows: byte-tiles.ts.

import { byteOffset, dots } from './byte-dots';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { finish, putTile4 } from './quantized';
import { clear } from './tile-sums';

/** See math.ts on constants. */
const ONES = memory.data<u8>([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], 16);

/** Sixteen packed bytes with the four columns of each row side by side. */
// @ts-ignore: decorator
@inline export function quads(w: usize): v128 {
  const v = v128.load(w);
  return v128.shuffle<i16>(v, v128.shuffle<i64>(v, v, 1, 0), 0, 8, 1, 9, 2, 10, 3, 11);
}

/** With which a product of weights is their sum where activations have an offset, or nothing. */
// @ts-ignore: decorator
@inline export function counted(): v128 { return byteOffset() > 0 ? v128.load(ONES) : i32x4.splat(0); }
/** What the offset adds to a block's sums. */
// @ts-ignore: decorator
@inline export function excess(sums: v128): v128 { return i32x4.shl(sums, 7); }

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
  clear(rows, 128);
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
