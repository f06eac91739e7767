// Products of activation rows with the rows of a stored matrix. `linear` and `expert_linear` both
// come down to `multiply`: up to PANEL_ROWS activation rows, wherever they lie, times this
// thread's rows of one matrix. Row `o` of the result is always made by the same code, whichever
// thread has it: shares begin at multiples of four.

import { ADDRESS_BYTES, DECODED_BYTES, Failure, Format, LEAST_PANEL, PACKED, PAIR_BYTES, PANEL_BYTES, PANEL_ROWS, PANEL_TABLES } from '../abi';
import { activationLimit, decodedTile4, decodedTile8, decodeGroup, sumRow, sumTile, vectorBlocks } from './block-products';
import { storedBytes } from './blocks';
import { byteOffset } from './byte-dots';
import { fewSums, vectorSums } from './byte-products';
import { quantizeBytes, quantizeByteTile } from './byte-rows';
import { decodePair, tilePair, tileTwoPairs } from './byte-tiles';
import { bf16x4, decodeRow, f16x4, setScales } from './formats';
import { dot, fma4, splat, sums4 } from './math';
import { touch } from './memory';
import { decodeScales, tileNibbles, vectorNibbles } from './nibble-products';
import { quantizeColumn, quantizeRow, tileQ8, vectorQ8 } from './quantized';
import { fail, int, pointer, revectorized, rowHi, rowLo, scratch, size, unitHi, unitLo } from './record';

// The matrix that `multiply` reads: set by `matrix`, or moved to another expert.
let format: i32 = 0;
let weights: usize = 0;
let inputs: i32 = 0;
let outputs: i32 = 0;
/** Where the matrix begins in `weights`, in rows. */
let firstRow: i32 = 0;
/** The panel's rows as tiles of rounded numbers, where they lie prepared; else 0. */
let quantized: usize = 0;

// Input and output rows of a panel.
// @ts-ignore: decorator
@inline function inputRow(i: i32): usize { return scratch + <usize>i * ADDRESS_BYTES; }
// @ts-ignore: decorator
@inline function outputRow(i: i32): usize { return scratch + <usize>(PANEL_ROWS + i) * ADDRESS_BYTES; }

/** Numbers 0 to 9: tokens, inputs, outputs, format, unit width, scale offset (two), block rows, block columns, matrix rows. */
function matrix(w: usize): void {
  inputs = int(1);
  outputs = int(2);
  format = int(3);
  weights = w;
  firstRow = 0;
  quantized = 0;
  setScales(size(5), int(7), int(8), int(9));
}

export function linear(): void {
  const x = pointer(0), y = pointer(2), bias = pointer(3), prepared = pointer(4), tokens = int(0);
  matrix(pointer(1));
  const lo = unitLo * int(4), hi = min(unitHi * int(4), outputs);
  const panel = panelRows();
  for (let from = 0; from < tokens; from += panel) {
    const count = min(panel, tokens - from);
    for (let i = 0; i < count; i++) {
      store<usize>(inputRow(i), x + (<usize>(from + i) * inputs << 2));
      store<usize>(outputRow(i), y + (<usize>(from + i) * outputs << 2));
    }
    if (prepared) quantized = prepared + <usize>(from >> 2) * tileBytes(format - PACKED);
    multiply(count, lo, hi);
    if (bias) for (let i = 0; i < count; i++) addBias(load<usize>(outputRow(i)), bias, lo, hi);
  }
}

/** Rows of a panel: as many as the cache of a core keeps for all groups of matrix rows, which are decoded once for each panel. */
function panelRows(): i32 {
  const four = format >= Format.q8_packed ? tileBytes(format - PACKED) : <usize>inputs << 4;
  let rows = PANEL_ROWS;
  while (rows > LEAST_PANEL && <usize>(rows >> 2) * four > <usize>PANEL_BYTES) rows >>= 1;
  return rows;
}

function addBias(y: usize, bias: usize, lo: i32, hi: i32): void {
  for (let o = <usize>lo << 2; o < <usize>hi << 2; o += 4) store<f32>(y + o, load<f32>(y + o) + load<f32>(bias + o));
}

/**
 * Number 10: experts; 11: choices of a token; 12: whether each choice has a row of its own. Operand 4:
 * none, or where each expert's matrix lies; one that is nowhere is left to another run of the record.
 */
export function expertLinear(): void {
  const x = pointer(0), indices = pointer(2), y = pointer(3), table = pointer(4), choices = int(0) * int(11);
  matrix(pointer(1));
  const lo = unitLo * int(4), hi = min(unitHi * int(4), outputs), panel = panelRows();
  for (let c = 0; c < choices; c++) {
    const expert = load<i32>(indices + (<usize>c << 2));
    if (<u32>expert < <u32>int(10)) continue;
    fail(Failure.expert, expert, int(10));
    memory.fill(y + (<usize>(c * outputs + lo) << 2), 0, <usize>(hi - lo) << 2);
  }
  for (let expert = 0; expert < int(10); expert++) {
    if (table) weights = load<usize>(table + <usize>expert * ADDRESS_BYTES);
    else firstRow = expert * outputs;
    if (table && !weights) continue;
    let count = 0;
    for (let c = 0; c < choices; c++) {
      if (load<i32>(indices + (<usize>c << 2)) != expert) continue;
      store<usize>(inputRow(count), x + (<usize>(int(12) ? c : c / int(11)) * inputs << 2));
      store<usize>(outputRow(count), y + (<usize>c * outputs << 2));
      if (++count == panel) { multiply(count, lo, hi); count = 0; }
    }
    if (count > 0) multiply(count, lo, hi);
  }
}

/** The panel's `count` rows times matrix rows [lo, hi). */
function multiply(count: i32, lo: i32, hi: i32): void {
  if (lo >= hi) return;
  if (format >= Format.q8_packed) count == 1 ? blockVector(lo, hi) : blockPanel(count, lo, hi);
  else if (count == 1 && format != Format.f8) floatVector(lo, hi);
  else floatPanel(count, lo, hi);
}

/** Whether 4-bit numbers are multiplied as such, with int8 activations. */
// @ts-ignore: decorator
@inline function byNibbles(kind: i32): bool { return ASC_FEATURE_RELAXED_SIMD && (kind == Format.q4 || kind == Format.q4k); }

/** Whether bytes are, with int8 activations. */
// @ts-ignore: decorator
@inline function byBytes(kind: i32): bool { return ASC_FEATURE_RELAXED_SIMD && kind == Format.q8 && byteOffset() >= 0; }

/** Whether activations are rounded to int8. */
// @ts-ignore: decorator
@inline function toBytes(kind: i32): bool { return byNibbles(kind) || byBytes(kind); }

// Several rows are rounded in tiles of four: their numbers, scales and sums of blocks, one after the other; then, of int8, scales of rows.
// @ts-ignore: decorator
@inline function scalesOf(kind: i32, tile: usize): usize { return tile + (<usize>inputs << (toBytes(kind) ? 2 : 3)); }
// @ts-ignore: decorator
@inline function sumsOf(kind: i32, tile: usize): usize { return scalesOf(kind, tile) + (<usize>inputs >> 1); }
// @ts-ignore: decorator
@inline function tileBytes(kind: i32): usize { return toBytes(kind) ? <usize>inputs * 5 + 16 : <usize>inputs * 9; }

/** Numbers: rows, their length, block format. Rows of the record are tiles; the last one repeats its last row. */
export function quantize(): void {
  const x = pointer(0), to = pointer(1), last = int(0) - 1, kind = int(2);
  inputs = int(1);
  for (let t = rowLo; t < rowHi; t++) {
    for (let i = 0; i < 4; i++) store<usize>(inputRow(i), x + (<usize>min(4 * t + i, last) * inputs << 2));
    quantizeTile(kind, 0, to + t * tileBytes(kind));
  }
}

/** Rows [first, first + 4) of the panel. */
function quantizeTile(kind: i32, first: i32, to: usize): void {
  const blocks = inputs >> 5;
  if (toBytes(kind)) {
    quantizeByteTile(kind, load<usize>(inputRow(first)), load<usize>(inputRow(first + 1)), load<usize>(inputRow(first + 2)), load<usize>(inputRow(first + 3)), blocks, to, scalesOf(kind, to), sumsOf(kind, to));
    return;
  }
  for (let i = 0; i < 4; i++) quantizeColumn(load<usize>(inputRow(first + i)), blocks, activationLimit(kind), i, to, scalesOf(kind, to));
  if (kind == Format.q4k) sumTile(to, scalesOf(kind, to), blocks, sumsOf(kind, to));
}

function blockVector(lo: i32, hi: i32): void {
  const kind = format - PACKED, blocks = inputs >> 5, x = load<usize>(inputRow(0)), y = load<usize>(outputRow(0));
  const q = scratch + PANEL_TABLES, scales = q + (<usize>inputs << 1), sums = scales + (<usize>blocks << 2), whole = outputs & ~3;
  const base = weights + <usize>firstRow * storedBytes(kind, inputs);
  if (toBytes(kind)) {
    const scale = quantizeBytes(kind, x, blocks, q, scales, sums);
    if (byBytes(kind)) vectorSums(base, q, scales, y, lo >> 2, min(hi, whole) >> 2, blocks);
    else vectorNibbles(kind, base, q, scales, sums, scale, y, lo >> 2, min(hi, whole) >> 2, blocks);
  } else {
    quantizeRow(x, blocks, activationLimit(kind), q, scales);
    if (kind == Format.q8) vectorQ8(base, q, scales, y, lo >> 2, min(hi, whole) >> 2, blocks);
    else {
      sumRow(q, scales, blocks, sums);
      vectorBlocks(kind, base, q, scales, sums, y, lo >> 2, min(hi, whole) >> 2, blocks);
    }
  }
  for (let o = max(lo, whole); o < hi; o++) store<f32>(y + (<usize>o << 2), dot(decoded(o, 0), x, inputs));
}

function blockPanel(count: i32, lo: i32, hi: i32): void {
  const kind = format - PACKED, whole = min(hi, outputs & ~3), tiles = (count + 3) >> 2;
  // Rows that fill up the last tile repeat its last one, and go where that goes.
  for (let i = count; i < tiles << 2; i++) {
    store<usize>(inputRow(i), load<usize>(inputRow(count - 1)));
    store<usize>(outputRow(i), load<usize>(outputRow(count - 1)));
  }
  let x = quantized;
  if (!x) {
    x = scratch + PANEL_TABLES;
    for (let t = 0; t < tiles; t++) quantizeTile(kind, t << 2, x + t * tileBytes(kind));
  }
  const work = scratch + PANEL_TABLES + tiles * tileBytes(kind);
  if (byteOffset() >= 0 && toBytes(kind) && tiles > FEW_TILES) bytePanel(kind, x, tiles, lo, whole, work);
  else if (byBytes(kind)) fewTiles(kind, x, tiles, lo, whole, work);
  else if (byNibbles(kind)) nibblePanel(kind, x, tiles, lo, whole, work);
  else decodedPanel(kind, x, tiles, lo, whole, work);
  for (let o = max(lo, outputs & ~3); o < hi; o++) {
    const w = decoded(o, 0);
    for (let i = 0; i < count; i++) store<f32>(load<usize>(outputRow(i)) + (<usize>o << 2), dot(w, load<usize>(inputRow(i)), inputs));
  }
}

/** Tiles of rows times packed groups of matrix rows [lo, hi), as they are. */
function nibblePanel(kind: i32, x: usize, tiles: i32, lo: i32, hi: i32, work: usize): void {
  const blocks = inputs >> 5, ws = work, us = ws + (<usize>blocks << 5), rows = us + (<usize>blocks << 5), size = <usize>storedBytes(kind, inputs), base = weights + <usize>firstRow * size;
  for (let o = lo; o < hi; o += 8) {
    const w = base + o * size, u = o + 8 <= hi ? w + 4 * size : w;
    decodeScales(kind, w, blocks, ws);
    decodeScales(kind, u, blocks, us);
    for (let t = 0; t < tiles; t++) {
      const tile = x + t * tileBytes(kind);
      tileNibbles(kind, w, u, ws, us, tile, scalesOf(kind, tile), sumsOf(kind, tile), outputRow(t << 2), <usize>o << 2, blocks, rows);
    }
  }
}

/** Tiles of rows times packed groups of matrix rows [lo, hi), each two (or four) decoded to bytes once for all. */
function bytePanel(kind: i32, x: usize, tiles: i32, lo: i32, hi: i32, work: usize): void {
  const blocks = inputs >> 5, size = <usize>storedBytes(kind, inputs), base = weights + <usize>firstRow * size, second = work + <usize>blocks * PAIR_BYTES, rows = second + <usize>blocks * PAIR_BYTES;
  const most = revectorized() ? 16 : 8;
  for (let o = lo, taken = 0; o < hi; o += taken) {
    const w = base + o * size, two = o + 8 <= hi;
    taken = o + most <= hi ? most : 8;
    decodePair(kind, w, two ? w + 4 * size : w, blocks, work);
    if (taken == 16) decodePair(kind, w + 8 * size, w + 12 * size, blocks, second);
    for (let t = 0; t < tiles; t++) {
      const tile = x + t * tileBytes(kind), scales = scalesOf(kind, tile), sums = sumsOf(kind, tile), y = outputRow(t << 2), at = <usize>o << 2;
      if (taken == 16) tileTwoPairs(kind, work, tile, scales, sums, y, at, blocks, rows);
      else tilePair(kind, work, tile, scales, sums, two, y, at, blocks, rows);
    }
  }
}

/** Few tiles in bytes times packed groups, as they are. */
function fewTiles(kind: i32, x: usize, tiles: i32, lo: i32, hi: i32, work: usize): void {
  const blocks = inputs >> 5, size = <usize>storedBytes(kind, inputs), base = weights + <usize>firstRow * size;
  for (let o = lo; o < hi; o += 4) for (let t = 0; t < tiles; t += 2) {
    const next = min(t + 1, tiles - 1), tile = x + t * tileBytes(kind), other = x + next * tileBytes(kind);
    fewSums(base + o * size, tile, other, scalesOf(kind, tile), scalesOf(kind, other), outputRow(t << 2), outputRow(next << 2), <usize>o << 2, blocks, work);
  }
}

const FEW_TILES = 4;

/** The same with the groups decoded to int16 once for all tiles. */
function decodedPanel(kind: i32, x: usize, tiles: i32, lo: i32, hi: i32, work: usize): void {
  const blocks = inputs >> 5, size = <usize>storedBytes(kind, inputs), base = weights + <usize>firstRow * size;
  for (let o = lo; o < hi; o += 8) {
    const two = o + 8 <= hi;
    if (kind == Format.q8 && two && tiles <= FEW_TILES) {
      for (let t = 0; t < tiles; t++) tileQ8(base + o * size, x + t * tileBytes(kind), scalesOf(kind, x + t * tileBytes(kind)), outputRow(t << 2), <usize>o << 2, blocks);
      continue;
    }
    decodeGroup(kind, base + o * size, blocks, work);
    if (two) decodeGroup(kind, base + (o + 4) * size, blocks, work + <usize>blocks * DECODED_BYTES);
    for (let t = 0; t < tiles; t++) {
      const tile = x + t * tileBytes(kind), sums = kind == Format.q4k ? sumsOf(kind, tile) : 0;
      if (two) decodedTile8(work, tile, scalesOf(kind, tile), sums, outputRow(t << 2), <usize>o << 2, blocks);
      else decodedTile4(work, tile, scalesOf(kind, tile), sums, outputRow(t << 2), <usize>o << 2, blocks);
    }
  }
}

// @ts-ignore: decorator
@inline function load4<T>(p: usize): v128 {
  if (isFloat<T>()) return v128.load(p);
  if (isSigned<T>()) return f16x4(p);
  return bf16x4(p);
}

/** Four rows, `stride` bytes apart, times one row, summed in the order of `tileFloat`. T names the format: f32, i16 for f16, u16 for bf16. */
function vectorRows<T>(w: usize, stride: usize, x: usize, n: i32): v128 {
  const w1 = w + stride, w2 = w1 + stride, w3 = w2 + stride;
  let a = splat(0), b = a, c = a, d = a, i: usize = 0;
  for (const end = <usize>n & ~3; i < end; i += 4) {
    const v = v128.load(x + (i << 2)), at = i * sizeof<T>();
    a = fma4(a, load4<T>(w + at), v);
    b = fma4(b, load4<T>(w1 + at), v);
    c = fma4(c, load4<T>(w2 + at), v);
    d = fma4(d, load4<T>(w3 + at), v);
  }
  return sums4(a, b, c, d);
}

function floatVector(lo: i32, hi: i32): void {
  const x = load<usize>(inputRow(0)), y = load<usize>(outputRow(0)), stride = <usize>inputs << (format == Format.f32 ? 2 : 1);
  let o = lo;
  // A row whose length is no multiple of four goes the general way.
  if ((inputs & 3) == 0) for (; o + 4 <= hi; o += 4) {
    const w = weights + <usize>(firstRow + o) * stride;
    touch(w, stride << 2);
    v128.store(y + (<usize>o << 2), format == Format.f32 ? vectorRows<f32>(w, stride, x, inputs) : format == Format.f16 ? vectorRows<i16>(w, stride, x, inputs) : vectorRows<u16>(w, stride, x, inputs));
  }
  for (; o < hi; o++) store<f32>(y + (<usize>o << 2), dot(decoded(o, 0), x, inputs));
}

/** Row `o` of the matrix as float32: where it lies, or decoded into line `line` of the scratch. */
function decoded(o: i32, line: i32): usize {
  if (format == Format.f32) return weights + (<usize>(firstRow + o) * inputs << 2);
  const to = scratch + PANEL_TABLES + (<usize>line * ((inputs + 3) & ~3) << 2);
  decodeRow(format, weights, firstRow + o, inputs, to);
  return to;
}

function floatPanel(count: i32, lo: i32, hi: i32): void {
  let o = lo;
  for (; o + 4 <= hi; o += 4) {
    const w0 = decoded(o, 0), w1 = decoded(o + 1, 1), w2 = decoded(o + 2, 2), w3 = decoded(o + 3, 3), at = <usize>o << 2;
    let i = 0;
    for (; i + 2 <= count; i += 2) tileFloat(w0, w1, w2, w3, load<usize>(inputRow(i)), load<usize>(inputRow(i + 1)), load<usize>(outputRow(i)) + at, load<usize>(outputRow(i + 1)) + at, inputs);
    if (i < count) tileFloat(w0, w1, w2, w3, load<usize>(inputRow(i)), load<usize>(inputRow(i)), load<usize>(outputRow(i)) + at, load<usize>(outputRow(i)) + at, inputs);
  }
  for (; o < hi; o++) {
    const w = decoded(o, 0);
    for (let i = 0; i < count; i++) store<f32>(load<usize>(outputRow(i)) + (<usize>o << 2), dot(w, load<usize>(inputRow(i)), inputs));
  }
}

/** Four matrix rows times two activation rows. */
function tileFloat(w0: usize, w1: usize, w2: usize, w3: usize, x0: usize, x1: usize, y0: usize, y1: usize, n: i32): void {
  let a0 = splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0, i: usize = 0;
  const end = <usize>n << 2, narrow = end & ~15;
  for (; i < narrow; i += 16) {
    const x = v128.load(x0 + i), z = v128.load(x1 + i);
    let w = v128.load(w0 + i);
    a0 = fma4(a0, w, x); b0 = fma4(b0, w, z);
    w = v128.load(w1 + i);
    a1 = fma4(a1, w, x); b1 = fma4(b1, w, z);
    w = v128.load(w2 + i);
    a2 = fma4(a2, w, x); b2 = fma4(b2, w, z);
    w = v128.load(w3 + i);
    a3 = fma4(a3, w, x); b3 = fma4(b3, w, z);
  }
  let s = sums4(a0, a1, a2, a3), t = sums4(b0, b1, b2, b3);
  for (; i < end; i += 4) {
    let w = v128.load32_zero(w0 + i);
    w = v128.load32_lane(w1 + i, w, 1);
    w = v128.load32_lane(w2 + i, w, 2);
    w = v128.load32_lane(w3 + i, w, 3);
    s = fma4(s, w, v128.load32_splat(x0 + i));
    t = fma4(t, w, v128.load32_splat(x1 + i));
  }
  v128.store(y0, s);
  v128.store(y1, t);
}
