// Products of packed Q8_0, Q4_0 and Q4_K matrices with many rows of int8 activations, where the processor has
// dot products of bytes: two groups of four matrix rows are decoded to bytes once for all tiles.
//
// A decoded pair has PAIR_BYTES for 32 columns: eight times sixteen bytes of the first group, then of the
// second; scales of the rows of both, then (of Q4_K) their minima. Whatever one group has lies beside what the
// other has, and goes the same way without a branch, so that V8 may join two instructions into one of twice the width.

import { Format, PAIR_BYTES } from '../abi';
import { dots, flip } from './byte-dots';
import { quads } from './byte-products';
import { divisible } from './byte-rows';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { addBoth, blockOf, FIFTEENS, high, low, minimumOf, nibblesOf, putRows, scaleOf } from './nibble-products';

/** Two packed groups; the first again where there is no second. */
export function decodePair(format: i32, w: usize, x: usize, blocks: i32, to: usize): void {
  decodeGroup(format, w, blocks, to);
  decodeGroup(format, x, blocks, to + 16);
}

function decodeGroup(format: i32, w: usize, blocks: i32, to: usize): void {
  if (format == Format.q8) decodeQ8(w, blocks, to);
  else if (format == Format.q4) decodeQ4(w, blocks, to);
  else decodeQ4K(w, blocks, to);
}

function decodeQ8(w: usize, blocks: i32, to: usize): void {
  const f8 = flip();
  for (let b = 0; b < blocks; b++, w += 136, to += PAIR_BYTES) {
    for (let j: usize = 0; j < 128; j += 16) v128.store(to + (j << 1), quads(w + j, f8));
    v128.store(to, finiteF16x4(w + 128), 256);
  }
}

function decodeQ4(w: usize, blocks: i32, to: usize): void { decodeNibbles(Format.q4, w, blocks, to); }
function decodeQ4K(w: usize, blocks: i32, to: usize): void { decodeNibbles(Format.q4k, w, blocks, to); }

// @ts-ignore: decorator
@inline function decodeNibbles(format: i32, w: usize, blocks: i32, to: usize): void {
  const mask = v128.load(FIFTEENS);
  for (let b = 0; b < blocks; b++, to += PAIR_BYTES) {
    const block = blockOf(format, w, b), nibbles = nibblesOf(format, block, b);
    for (let j: usize = 0; j < 64; j += 16) {
      const v = v128.load(nibbles + j), at = to + (j << 2);
      v128.store(at, low(v, mask));
      v128.store(at, high(v, mask), 32);
    }
    v128.store(to, divisible(scaleOf(format, block, b)), 256);
    if (format == Format.q4k) v128.store(to, minimumOf(format, block, b), 288);
  }
}

/** A decoded pair times a tile of four rows; `two`: whether it has a second group. `y` is a table of four output rows. Sums of rows are kept in 128 bytes at `rows`. */
export function tilePair(format: i32, w: usize, q: usize, scales: usize, sums: usize, two: bool, y: usize, at: usize, blocks: i32, rows: usize): void {
  memory.fill(rows, 0, 128);
  if (format == Format.q4k) tileQ4K(w, q, scales, sums, blocks, rows);
  else if (format == Format.q4) tileQ4(w, q, scales, sums, blocks, rows);
  else tileQ8(w, q, scales, sums, blocks, rows);
  putRows(rows, sums + (<usize>blocks << 4), two, y, at);
}

function tileQ8(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(Format.q8, w, q, scales, sums, blocks, rows); }
function tileQ4(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(Format.q4, w, q, scales, sums, blocks, rows); }
function tileQ4K(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(Format.q4k, w, q, scales, sums, blocks, rows); }

/** Two decoded pairs, one behind the other, times a tile: where the engine joins instructions, so that their sums take eight registers. Those of rows take 256 bytes. */
export function tileTwoPairs(format: i32, w: usize, q: usize, scales: usize, sums: usize, y: usize, at: usize, blocks: i32, rows: usize): void {
  memory.fill(rows, 0, 256);
  if (format == Format.q4k) twoPairsQ4K(w, q, scales, sums, blocks, rows);
  else if (format == Format.q4) twoPairsQ4(w, q, scales, sums, blocks, rows);
  else twoPairsQ8(w, q, scales, sums, blocks, rows);
  putRows(rows, sums + (<usize>blocks << 4), true, y, at);
  putRows(rows + 128, sums + (<usize>blocks << 4), true, y, at + 32);
}

function twoPairsQ8(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { twoPairs(Format.q8, w, q, scales, sums, blocks, rows); }
function twoPairsQ4(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { twoPairs(Format.q4, w, q, scales, sums, blocks, rows); }
function twoPairsQ4K(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { twoPairs(Format.q4k, w, q, scales, sums, blocks, rows); }

// @ts-ignore: decorator
@inline function begun(format: i32, sum: usize): v128 { return format == Format.q4k ? i32x4.splat(0) : v128.load32_splat(sum); }

/** Adds a block's sums of a pair to those of four rows. */
// @ts-ignore: decorator
@inline function end(rows: usize, format: i32, w: usize, scales: usize, sums: usize, s0: v128, t0: v128, s1: v128, t1: v128, s2: v128, t2: v128, s3: v128, t3: v128): void {
  const d = v128.load(w, 256), e = v128.load(w, 272), m = format == Format.q4k ? v128.load(w, 288) : splat(0), n = format == Format.q4k ? v128.load(w, 304) : m;
  addBoth(rows, format, s0, t0, d, e, m, n, scales, sums);
  addBoth(rows + 32, format, s1, t1, d, e, m, n, scales + 4, sums + 4);
  addBoth(rows + 64, format, s2, t2, d, e, m, n, scales + 8, sums + 8);
  addBoth(rows + 96, format, s3, t3, d, e, m, n, scales + 12, sums + 12);
}

// @ts-ignore: decorator
@inline function tile(format: i32, w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void {
  for (let b = 0; b < blocks; b++, w += PAIR_BYTES, scales += 16, sums += 16) {
    let s0 = begun(format, sums), s1 = begun(format, sums + 4), s2 = begun(format, sums + 8), s3 = begun(format, sums + 12), t0 = s0, t1 = s1, t2 = s2, t3 = s3;
    for (let j: usize = 0; j < 256; j += 32, q += 16) {
      const v = v128.load(w + j), u = v128.load(w + j, 16);
      let c = v128.load32_splat(q);
      s0 = dots(s0, c, v); t0 = dots(t0, c, u);
      c = v128.load32_splat(q, 4);
      s1 = dots(s1, c, v); t1 = dots(t1, c, u);
      c = v128.load32_splat(q, 8);
      s2 = dots(s2, c, v); t2 = dots(t2, c, u);
      c = v128.load32_splat(q, 12);
      s3 = dots(s3, c, v); t3 = dots(t3, c, u);
    }
    end(rows, format, w, scales, sums, s0, t0, s1, t1, s2, t2, s3, t3);
  }
}

// @ts-ignore: decorator
@inline function twoPairs(format: i32, w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void {
  let x = w + <usize>blocks * PAIR_BYTES;
  for (let b = 0; b < blocks; b++, w += PAIR_BYTES, x += PAIR_BYTES, scales += 16, sums += 16) {
    let s0 = begun(format, sums), s1 = begun(format, sums + 4), s2 = begun(format, sums + 8), s3 = begun(format, sums + 12), t0 = s0, t1 = s1, t2 = s2, t3 = s3;
    let y0 = s0, y1 = s1, y2 = s2, y3 = s3, z0 = s0, z1 = s1, z2 = s2, z3 = s3;
    for (let j: usize = 0; j < 256; j += 32, q += 16) {
      const v = v128.load(w + j), u = v128.load(w + j, 16), o = v128.load(x + j), p = v128.load(x + j, 16);
      let c = v128.load32_splat(q);
      s0 = dots(s0, c, v); t0 = dots(t0, c, u); y0 = dots(y0, c, o); z0 = dots(z0, c, p);
      c = v128.load32_splat(q, 4);
      s1 = dots(s1, c, v); t1 = dots(t1, c, u); y1 = dots(y1, c, o); z1 = dots(z1, c, p);
      c = v128.load32_splat(q, 8);
      s2 = dots(s2, c, v); t2 = dots(t2, c, u); y2 = dots(y2, c, o); z2 = dots(z2, c, p);
      c = v128.load32_splat(q, 12);
      s3 = dots(s3, c, v); t3 = dots(t3, c, u); y3 = dots(y3, c, o); z3 = dots(z3, c, p);
    }
    end(rows, format, w, scales, sums, s0, t0, s1, t1, s2, t2, s3, t3);
    end(rows + 128, format, x, scales, sums, y0, z0, y1, z1, y2, z2, y3, z3);
  }
}
