// Products of packed Q8_0, Q4_0 and Q4_K matrices with many rows of int8 activations, where the processor has
// dot products of bytes: two groups of four matrix rows are decoded to bytes once for all tiles.
//
// A decoded pair has PAIR_BYTES for 32 columns: eight times sixteen bytes of the first group, then of the
// second; scales of the rows of both, then their minima (Q4_K) or where their sums begin (Q8_0). Whatever one
// group has lies beside what the other has, and goes the same way without a branch, so that V8 may join two
// instructions into one of twice the width.

import { Format, PAIR_BYTES } from '../abi';
import { dots } from './byte-dots';
import { counted, excess, quads } from './byte-products';
import { divisible } from './byte-rows';
import { finiteF16x4 } from './formats';
import { splat } from './math';
import { blockOf, FIFTEENS, high, low, minimumOf, nibblesOf, scaleOf } from './nibble-products';
import { addBoth, clear, putRows } from './tile-sums';

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
  const ones = counted();
  for (let b = 0; b < blocks; b++, w += 136, to += PAIR_BYTES) {
    let sum = i32x4.splat(0);
    for (let j: usize = 0; j < 128; j += 16) {
      const v = quads(w + j);
      v128.store(to + (j << 1), v);
      sum = dots(sum, v, ones);
    }
    v128.store(to, finiteF16x4(w + 128), 256);
    v128.store(to, i32x4.neg(excess(sum)), 288);
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
  clear(rows, 128);
  if (format == Format.q4k) tileQ4K(w, q, scales, sums, blocks, rows);
  else if (format == Format.q4) tileQ4(w, q, scales, sums, blocks, rows);
  else tileQ8(w, q, scales, sums, blocks, rows);
  putRows(rows, sums + (<usize>blocks << 4), y, at, two ? at + 16 : at);
}

function tileQ8(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(Format.q8, w, q, scales, sums, blocks, rows); }
function tileQ4(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(Format.q4, w, q, scales, sums, blocks, rows); }
function tileQ4K(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { tile(Format.q4k, w, q, scales, sums, blocks, rows); }

/** Two decoded pairs, one behind the other, times a tile: where the engine joins instructions, so that their sums take eight registers. Those of rows take 256 bytes. */
export function tileTwoPairs(format: i32, w: usize, q: usize, scales: usize, sums: usize, y: usize, at: usize, blocks: i32, rows: usize): void {
  clear(rows, 256);
  if (format == Format.q4k) twoPairsQ4K(w, q, scales, sums, blocks, rows);
  else if (format == Format.q4) twoPairsQ4(w, q, scales, sums, blocks, rows);
  else twoPairsQ8(w, q, scales, sums, blocks, rows);
  putRows(rows, sums + (<usize>blocks << 4), y, at, at + 16);
  putRows(rows + 128, sums + (<usize>blocks << 4), y, at + 32, at + 48);
}

function twoPairsQ8(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { twoPairs(Format.q8, w, q, scales, sums, blocks, rows); }
function twoPairsQ4(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { twoPairs(Format.q4, w, q, scales, sums, blocks, rows); }
function twoPairsQ4K(w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void { twoPairs(Format.q4k, w, q, scales, sums, blocks, rows); }

/** Where a block's sums of a group and a row begin. */
// @ts-ignore: decorator
@inline function begun(format: i32, group: usize, sum: usize): v128 { return format == Format.q8 ? v128.load(group, 288) : format == Format.q4 ? v128.load32_splat(sum) : i32x4.splat(0); }
/** Q8_0's activations have no sign, the others' weights. */
// @ts-ignore: decorator
@inline function madd(format: i32, sum: v128, w: v128, a: v128): v128 { return format == Format.q8 ? dots(sum, w, a) : dots(sum, a, w); }

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
    let s0 = begun(format, w, sums), s1 = begun(format, w, sums + 4), s2 = begun(format, w, sums + 8), s3 = begun(format, w, sums + 12);
    let t0 = begun(format, w + 16, sums), t1 = begun(format, w + 16, sums + 4), t2 = begun(format, w + 16, sums + 8), t3 = begun(format, w + 16, sums + 12);
    for (let j: usize = 0; j < 256; j += 32, q += 16) {
      const v = v128.load(w + j), u = v128.load(w + j, 16);
      let c = v128.load32_splat(q);
      s0 = madd(format, s0, v, c); t0 = madd(format, t0, u, c);
      c = v128.load32_splat(q, 4);
      s1 = madd(format, s1, v, c); t1 = madd(format, t1, u, c);
      c = v128.load32_splat(q, 8);
      s2 = madd(format, s2, v, c); t2 = madd(format, t2, u, c);
      c = v128.load32_splat(q, 12);
      s3 = madd(format, s3, v, c); t3 = madd(format, t3, u, c);
    }
    end(rows, format, w, scales, sums, s0, t0, s1, t1, s2, t2, s3, t3);
  }
}

// @ts-ignore: decorator
@inline function twoPairs(format: i32, w: usize, q: usize, scales: usize, sums: usize, blocks: i32, rows: usize): void {
  let x = w + <usize>blocks * PAIR_BYTES;
  for (let b = 0; b < blocks; b++, w += PAIR_BYTES, x += PAIR_BYTES, scales += 16, sums += 16) {
    let s0 = begun(format, w, sums), s1 = begun(format, w, sums + 4), s2 = begun(format, w, sums + 8), s3 = begun(format, w, sums + 12);
    let t0 = begun(format, w + 16, sums), t1 = begun(format, w + 16, sums + 4), t2 = begun(format, w + 16, sums + 8), t3 = begun(format, w + 16, sums + 12);
    let y0 = begun(format, x, sums), y1 = begun(format, x, sums + 4), y2 = begun(format, x, sums + 8), y3 = begun(format, x, sums + 12);
    let z0 = begun(format, x + 16, sums), z1 = begun(format, x + 16, sums + 4), z2 = begun(format, x + 16, sums + 8), z3 = begun(format, x + 16, sums + 12);
    for (let j: usize = 0; j < 256; j += 32, q += 16) {
      const v = v128.load(w + j), u = v128.load(w + j, 16), o = v128.load(x + j), p = v128.load(x + j, 16);
      let c = v128.load32_splat(q);
      s0 = madd(format, s0, v, c); t0 = madd(format, t0, u, c); y0 = madd(format, y0, o, c); z0 = madd(format, z0, p, c);
      c = v128.load32_splat(q, 4);
      s1 = madd(format, s1, v, c); t1 = madd(format, t1, u, c); y1 = madd(format, y1, o, c); z1 = madd(format, z1, p, c);
      c = v128.load32_splat(q, 8);
      s2 = madd(format, s2, v, c); t2 = madd(format, t2, u, c); y2 = madd(format, y2, o, c); z2 = madd(format, z2, p, c);
      c = v128.load32_splat(q, 12);
      s3 = madd(format, s3, v, c); t3 = madd(format, t3, u, c); y3 = madd(format, y3, o, c); z3 = madd(format, z3, p, c);
    }
    end(rows, format, w, scales, sums, s0, t0, s1, t1, s2, t2, s3, t3);
    end(rows + 128, format, x, scales, sums, y0, z0, y1, z1, y2, z2, y3, z3);
  }
}
