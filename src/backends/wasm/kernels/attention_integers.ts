// Scores and sums of a tile of attention (attention_tile.ts) in int16: twice as many products an instruction as in
// float32. For models whose matrices round activations further than that. Every row of queries, keys and
// values has a scale, and numbers as large as sums within int32 allow: up to 4,096 for heads of 128. Weights
// are rounded page by page, relative to the row's largest of the page.
//
// Two columns of a key, and two positions of a value, lie side by side: an instruction multiplies both.

import { PAGE_TOKENS } from '../abi';
import { WEIGHTS_OF_FOUR } from './attention_floats';
import { LOWEST } from './attention_tile';
import { exp4Below, fma4, larger4, largestOf4, ofSizes4, round4, sizes4, splat } from './math';
import { rounded } from './quantized';

/** Bytes of a panel of values: eight columns of a page. */
const PANEL: usize = PAGE_TOKENS << 4;

/** The largest numbers of which a sum of `terms` products fits int32. */
// @ts-ignore: decorator
@inline function limit(terms: i32): f32 { return min<f32>(32767, floor<f32>(sqrt<f32>(<f32>2147483000 / <f32>terms))); }

/** `n` float32, a multiple of eight, as int16 of at most `most`. Returns their scale. */
function round(x: usize, n: i32, most: f32, to: usize): f32 {
  const end = <usize>n << 2;
  let a = splat(0), b = a;
  for (let i: usize = 0; i < end; i += 32) {
    a = larger4(a, sizes4(v128.load(x + i)));
    b = larger4(b, sizes4(v128.load(x + i, 16)));
  }
  const top = largestOf4(ofSizes4(larger4(a, b)));
  const inverse = splat(top > 0 ? most / top : 0);
  for (let i: usize = 0; i < end; i += 32, to += 16) v128.store(to, i16x8.narrow_i32x4_s(rounded(x + i, inverse), rounded(x + i + 16, inverse)));
  return top / most;
}

/** A row of queries, as one of eight of a panel. `line` has room for it. Returns its scale. */
export function roundQuery(x: usize, H: i32, to: usize, line: usize): f32 {
  const scale = round(x, H, limit(H), line);
  for (let i: usize = 0; i < <usize>H << 1; i += 4) store<u32>(to + (i << 3), load<u32>(line + i));
  return scale;
}

/** A row of keys. Returns its scale. */
export function roundKey(x: usize, H: i32, to: usize): f32 { return round(x, H, limit(H), to); }

/** A row of values, to `line`. Returns its scale. */
export function roundValue(x: usize, D: i32, line: usize): f32 { return round(x, D, limit(PAGE_TOKENS), line); }

/** Two rounded rows of values, to their place in all panels. */
export function putValues(a: usize, b: usize, D: i32, to: usize): void {
  for (let i: usize = 0; i < <usize>D << 1; i += 16, to += PANEL) {
    const v = v128.load(a + i), w = v128.load(b + i);
    v128.store(to, v128.shuffle<i16>(v, w, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(to, v128.shuffle<i16>(v, w, 4, 12, 5, 13, 6, 14, 7, 15), 16);
  }
}

// @ts-ignore: decorator
@inline function madd(sum: v128, a: v128, b: v128): v128 { return i32x4.add(sum, i32x4.dot_i16x8_s(a, b)); }

/** As `score` of float32, with scales of eight rows at `scales` and of four keys at `keyScales`. */
export function scoreIntegers(keys: usize, H: i32, queries: usize, to: usize, scales: usize, keyScales: usize): void {
  const stride = <usize>H << 1, k1 = keys + stride, k2 = k1 + stride, k3 = k2 + stride;
  let a0 = i32x4.splat(0), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0;
  for (let i: usize = 0; i < stride; i += 4, queries += 32) {
    const a = v128.load(queries), b = v128.load(queries, 16);
    let k = v128.load32_splat(keys + i);
    a0 = madd(a0, a, k); b0 = madd(b0, b, k);
    k = v128.load32_splat(k1 + i);
    a1 = madd(a1, a, k); b1 = madd(b1, b, k);
    k = v128.load32_splat(k2 + i);
    a2 = madd(a2, a, k); b2 = madd(b2, b, k);
    k = v128.load32_splat(k3 + i);
    a3 = madd(a3, a, k); b3 = madd(b3, b, k);
  }
  const b = v128.load(scales), c = v128.load(scales, 16);
  putScores(to, a0, a1, a2, a3, b, keyScales);
  putScores(to + WEIGHTS_OF_FOUR, b0, b1, b2, b3, c, keyScales);
}

// @ts-ignore: decorator
@inline function putScores(to: usize, a: v128, b: v128, c: v128, d: v128, scales: v128, keyScales: usize): void {
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(a), f32x4.mul(scales, v128.load32_splat(keyScales))));
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(b), f32x4.mul(scales, v128.load32_splat(keyScales, 4))), 16);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(c), f32x4.mul(scales, v128.load32_splat(keyScales, 8))), 32);
  v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(d), f32x4.mul(scales, v128.load32_splat(keyScales, 12))), 48);
}

/**
 * Turns `count` scores of four rows into weights relative to `top`, and returns their sums. What is left in their place
 * are weights times scales of values, rounded, of two positions each; scales of the rows go to `scales`.
 */
export function weighIntegers(at: usize, count: i32, top: v128, valueScales: usize, scales: usize): v128 {
  const end = at + (<usize>count << 4), lowest = v128.load32_splat(LOWEST);
  let sum = splat(0), largest = sum;
  for (let p = at; p < end; p += 16, valueScales += 4) {
    const s = v128.load(p), e = v128.and(exp4Below(f32x4.sub(s, top)), f32x4.gt(s, lowest));
    sum = f32x4.add(sum, e);
    const w = f32x4.mul(e, v128.load32_splat(valueScales));
    v128.store(p, w);
    largest = larger4(largest, w);
  }
  const most = splat(limit(PAGE_TOKENS)), inverse = v128.andnot(f32x4.div(most, largest), f32x4.eq(largest, splat(0)));
  for (let p = at, to = at; p < end; p += 32, to += 16) {
    const low = round4(f32x4.mul(v128.load(p), inverse));
    const high = p + 16 < end ? round4(f32x4.mul(v128.load(p, 16), inverse)) : i32x4.splat(0);
    v128.store(to, v128.or(low, i32x4.shl(high, 16)));
  }
  v128.store(scales, f32x4.div(largest, most));
  return sum;
}

/** As `gather` of float32, with scales of four rows' weights at `scales`. */
export function gatherIntegers(v: usize, w: usize, count: i32, y0: usize, sumRow: usize, scales: usize): void {
  let a0 = i32x4.splat(0), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0;
  for (let j = 0; j < count; j += 2, v += 32, w += 16) {
    const a = v128.load(v), b = v128.load(v, 16);
    let p = v128.load32_splat(w);
    a0 = madd(a0, a, p); b0 = madd(b0, b, p);
    p = v128.load32_splat(w, 4);
    a1 = madd(a1, a, p); b1 = madd(b1, b, p);
    p = v128.load32_splat(w, 8);
    a2 = madd(a2, a, p); b2 = madd(b2, b, p);
    p = v128.load32_splat(w, 12);
    a3 = madd(a3, a, p); b3 = madd(b3, b, p);
  }
  addSums(y0, a0, b0, scales);
  addSums(y0 + sumRow, a1, b1, scales + 4);
  addSums(y0 + 2 * sumRow, a2, b2, scales + 8);
  addSums(y0 + 3 * sumRow, a3, b3, scales + 12);
}

// @ts-ignore: decorator
@inline function addSums(y: usize, a: v128, b: v128, scale: usize): void {
  const by = v128.load32_splat(scale);
  v128.store(y, fma4(v128.load(y), f32x4.convert_i32x4_s(a), by));
  v128.store(y, fma4(v128.load(y, 16), f32x4.convert_i32x4_s(b), by), 16);
}
