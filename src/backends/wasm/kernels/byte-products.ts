// Products of packed Q8_0 matrices (quantized.ts) with few rows of int8 activations (byte-rows.ts), as in
// llama.cpp, where the processor has dot products of bytes: sixteen products for the eight of int16. Sums
// within 32 columns are exact. Many rows: byte-tiles.ts.

import { Format } from '../abi';
import { dots, flip } from './byte-dots';
import { added, scaledRow } from './byte-rows';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { finish, putTile4 } from './quantized';

/** Sixteen packed numbers as bytes with the four columns of each row side by side. */
// @ts-ignore: decorator
@inline export function quads(w: usize, flip: v128): v128 {
  const v = v128.load(w);
  return v128.xor(v128.shuffle<i16>(v, v128.shuffle<i64>(v, v, 1, 0), 0, 8, 1, 9, 2, 10, 3, 11), flip);
}

/** Packed groups [lo, hi) times one row; y holds the results of group 0 on. */
export function vectorSums(w: usize, q: usize, scales: usize, sums: usize, scale: f32, y: usize, lo: i32, hi: i32, blocks: i32): void {
  const bytes = <usize>blocks * 136, half = (hi - lo + 1) >> 1;
  // Two groups share the loads of activations: one from each half, for neighbours defeat prefetching.
  for (let g = lo; g < lo + half; g++) {
    const other = g + half < hi ? g + half : g;
    vectorTwo(w + g * bytes, w + other * bytes, q, scales, sums, scale, y + (<usize>g << 4), y + (<usize>other << 4), blocks);
  }
}

function vectorTwo(w: usize, x: usize, a: usize, scales: usize, sums: usize, scale: f32, y: usize, z: usize, blocks: i32): void {
  const f8 = flip();
  let f = splat(0), g = f;
  for (let b = 0; b < blocks; b++, w += 136, x += 136, scales += 4, sums += 4) {
    let s = v128.load32_splat(sums), t = s;
    for (let j: usize = 0; j < 128; j += 16, a += 4) {
      const c = v128.load32_splat(a);
      s = dots(s, c, quads(w + j, f8)); t = dots(t, c, quads(x + j, f8));
    }
    f = finish(f, s, finiteF16x4(w + 128), scales);
    g = finish(g, t, finiteF16x4(x + 128), scales);
  }
  v128.store(y, f32x4.mul(f, splat(scale)));
  v128.store(z, f32x4.mul(g, splat(scale)));
}

/** Adds a block's sums to those of the row that `to` holds. */
// @ts-ignore: decorator
@inline function addTo(to: usize, sum: v128, d: v128, scale: usize): void { v128.store(to, added(Format.q8, v128.load(to), sum, d, scale)); }

/**
 * A packed group, as it is, times two tiles of four rows (the same twice, for want of another): few rows wait for
 * the matrix, and what is computed with it while it is read costs nothing. `y` and `z` are tables of four output
 * rows; a tile's scales begin `scales` bytes behind it, its sums `sums`. Rows' sums are kept in 128 bytes at
 * `rows`: in variables they would take registers from those of a block.
 */
export function fewSums(w: usize, p: usize, q: usize, scales: usize, sums: usize, y: usize, z: usize, at: usize, blocks: i32, rows: usize): void {
  const f8 = flip();
  let e = p + scales, f = q + scales, m = p + sums, n = q + sums;
  memory.fill(rows, 0, 128);
  for (let b = 0; b < blocks; b++, w += 136, e += 16, f += 16, m += 16, n += 16) {
    let s0 = v128.load32_splat(m), s1 = v128.load32_splat(m, 4), s2 = v128.load32_splat(m, 8), s3 = v128.load32_splat(m, 12);
    let t0 = v128.load32_splat(n), t1 = v128.load32_splat(n, 4), t2 = v128.load32_splat(n, 8), t3 = v128.load32_splat(n, 12);
    for (let j: usize = 0; j < 128; j += 16, p += 16, q += 16) {
      const v = quads(w + j, f8);
      s0 = dots(s0, v128.load32_splat(p), v); s1 = dots(s1, v128.load32_splat(p, 4), v);
      s2 = dots(s2, v128.load32_splat(p, 8), v); s3 = dots(s3, v128.load32_splat(p, 12), v);
      t0 = dots(t0, v128.load32_splat(q), v); t1 = dots(t1, v128.load32_splat(q, 4), v);
      t2 = dots(t2, v128.load32_splat(q, 8), v); t3 = dots(t3, v128.load32_splat(q, 12), v);
    }
    const d = finiteF16x4(w + 128);
    addTo(rows, s0, d, e); addTo(rows + 16, s1, d, e + 4); addTo(rows + 32, s2, d, e + 8); addTo(rows + 48, s3, d, e + 12);
    addTo(rows + 64, t0, d, f); addTo(rows + 80, t1, d, f + 4); addTo(rows + 96, t2, d, f + 8); addTo(rows + 112, t3, d, f + 12);
  }
  putTile4(z, at, scaledRow(rows + 64, n), scaledRow(rows + 80, n + 4), scaledRow(rows + 96, n + 8), scaledRow(rows + 112, n + 12));
  putTile4(y, at, scaledRow(rows, m), scaledRow(rows + 16, m + 4), scaledRow(rows + 32, m + 8), scaledRow(rows + 48, m + 12));
}
