// Scores and sums of a tile of attention (attention_tile.ts) in float32. Where the engine joins
// instructions, twice as many rows share what is loaded of keys, and twice as many columns of values weights.

import { PAGE_TOKENS } from '../abi';
import { fma4, splat } from './math';

/** Bytes of the weights of four rows. */
export const WEIGHTS_OF_FOUR: usize = PAGE_TOKENS << 4;

/** Scores of eight rows, a panel of queries, and four positions, whose rows of `H` keys follow one another; to where the weights of the first four rows and positions lie. */
export function score(keys: usize, H: i32, queries: usize, to: usize): void {
  const stride = <usize>H << 2, k0 = keys, k1 = k0 + stride, k2 = k1 + stride, k3 = k2 + stride;
  let a0 = splat(0), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0;
  for (let i: usize = 0; i < stride; i += 4, queries += 32) {
    const a = v128.load(queries), b = v128.load(queries, 16);
    let k = v128.load32_splat(k0 + i);
    a0 = fma4(a0, a, k); b0 = fma4(b0, b, k);
    k = v128.load32_splat(k1 + i);
    a1 = fma4(a1, a, k); b1 = fma4(b1, b, k);
    k = v128.load32_splat(k2 + i);
    a2 = fma4(a2, a, k); b2 = fma4(b2, b, k);
    k = v128.load32_splat(k3 + i);
    a3 = fma4(a3, a, k); b3 = fma4(b3, b, k);
  }
  store16(to, a0, a1, a2, a3);
  store16(to + WEIGHTS_OF_FOUR, b0, b1, b2, b3);
}

/** The same of sixteen rows: two panels of queries. */
export function scoreWide(keys: usize, H: i32, queries: usize, to: usize): void {
  const stride = <usize>H << 2, k0 = keys, k1 = k0 + stride, k2 = k1 + stride, k3 = k2 + stride;
  let a0 = splat(0), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0, c0 = a0, d0 = a0, c1 = a0, d1 = a0, c2 = a0, d2 = a0, c3 = a0, d3 = a0;
  let q = queries, p = q + (stride << 3);
  for (let i: usize = 0; i < stride; i += 4, q += 32, p += 32) {
    const a = v128.load(q), b = v128.load(q, 16), c = v128.load(p), d = v128.load(p, 16);
    let k = v128.load32_splat(k0 + i);
    a0 = fma4(a0, a, k); b0 = fma4(b0, b, k); c0 = fma4(c0, c, k); d0 = fma4(d0, d, k);
    k = v128.load32_splat(k1 + i);
    a1 = fma4(a1, a, k); b1 = fma4(b1, b, k); c1 = fma4(c1, c, k); d1 = fma4(d1, d, k);
    k = v128.load32_splat(k2 + i);
    a2 = fma4(a2, a, k); b2 = fma4(b2, b, k); c2 = fma4(c2, c, k); d2 = fma4(d2, d, k);
    k = v128.load32_splat(k3 + i);
    a3 = fma4(a3, a, k); b3 = fma4(b3, b, k); c3 = fma4(c3, c, k); d3 = fma4(d3, d, k);
  }
  store16(to, a0, a1, a2, a3);
  store16(to + WEIGHTS_OF_FOUR, b0, b1, b2, b3);
  store16(to + 2 * WEIGHTS_OF_FOUR, c0, c1, c2, c3);
  store16(to + 3 * WEIGHTS_OF_FOUR, d0, d1, d2, d3);
}

// @ts-ignore: decorator
@inline function store16(to: usize, a: v128, b: v128, c: v128, d: v128): void { v128.store(to, a); v128.store(to, b, 16); v128.store(to, c, 32); v128.store(to, d, 48); }

/** Adds `count` values `v` of eight columns, a panel, with the weights of four rows at `w`, to those rows' sums, `sumRow` bytes apart. */
export function gather(v: usize, w: usize, count: i32, y0: usize, sumRow: usize): void {
  const y1 = y0 + sumRow, y2 = y1 + sumRow, y3 = y2 + sumRow;
  let a0 = v128.load(y0), b0 = v128.load(y0, 16), a1 = v128.load(y1), b1 = v128.load(y1, 16);
  let a2 = v128.load(y2), b2 = v128.load(y2, 16), a3 = v128.load(y3), b3 = v128.load(y3, 16);
  for (let j = 0; j < count; j++, v += 32, w += 16) {
    const a = v128.load(v), b = v128.load(v, 16);
    let p = v128.load32_splat(w);
    a0 = fma4(a0, a, p); b0 = fma4(b0, b, p);
    p = v128.load32_splat(w, 4);
    a1 = fma4(a1, a, p); b1 = fma4(b1, b, p);
    p = v128.load32_splat(w, 8);
    a2 = fma4(a2, a, p); b2 = fma4(b2, b, p);
    p = v128.load32_splat(w, 12);
    a3 = fma4(a3, a, p); b3 = fma4(b3, b, p);
  }
  v128.store(y0, a0); v128.store(y0, b0, 16);
  v128.store(y1, a1); v128.store(y1, b1, 16);
  v128.store(y2, a2); v128.store(y2, b2, 16);
  v128.store(y3, a3); v128.store(y3, b3, 16);
}

/** The same for sixteen columns: two panels. */
export function gatherWide(v: usize, w: usize, count: i32, y0: usize, sumRow: usize): void {
  const y1 = y0 + sumRow, y2 = y1 + sumRow, y3 = y2 + sumRow;
  let a0 = v128.load(y0), b0 = v128.load(y0, 16), c0 = v128.load(y0, 32), e0 = v128.load(y0, 48), a1 = v128.load(y1), b1 = v128.load(y1, 16), c1 = v128.load(y1, 32), e1 = v128.load(y1, 48);
  let a2 = v128.load(y2), b2 = v128.load(y2, 16), c2 = v128.load(y2, 32), e2 = v128.load(y2, 48), a3 = v128.load(y3), b3 = v128.load(y3, 16), c3 = v128.load(y3, 32), e3 = v128.load(y3, 48);
  let u = v + 32 * PAGE_TOKENS;
  for (let j = 0; j < count; j++, v += 32, u += 32, w += 16) {
    const a = v128.load(v), b = v128.load(v, 16), c = v128.load(u), e = v128.load(u, 16);
    let p = v128.load32_splat(w);
    a0 = fma4(a0, a, p); b0 = fma4(b0, b, p); c0 = fma4(c0, c, p); e0 = fma4(e0, e, p);
    p = v128.load32_splat(w, 4);
    a1 = fma4(a1, a, p); b1 = fma4(b1, b, p); c1 = fma4(c1, c, p); e1 = fma4(e1, e, p);
    p = v128.load32_splat(w, 8);
    a2 = fma4(a2, a, p); b2 = fma4(b2, b, p); c2 = fma4(c2, c, p); e2 = fma4(e2, e, p);
    p = v128.load32_splat(w, 12);
    a3 = fma4(a3, a, p); b3 = fma4(b3, b, p); c3 = fma4(c3, c, p); e3 = fma4(e3, e, p);
  }
  store16(y0, a0, b0, c0, e0);
  store16(y1, a1, b1, c1, e1);
  store16(y2, a2, b2, c2, e2);
  store16(y3, a3, b3, c3, e3);
}

