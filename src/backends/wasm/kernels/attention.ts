// paged_attention. A query head walks the pages its token sees, keeping a running maximum and sum
// (online softmax, arXiv:1805.02867), so that working memory does not grow with the context.
//
// Tokens are taken in tiles of fixed bounds. Those of a tile that follow one another in a sequence
// go together (attention_tile.ts); a lone one, as in decoding, goes here with up to HEADS_AT_ONCE
// query heads of one key/value head. Which way a token goes, and so every bit of its result, depends
// on its tile alone, never on which thread has it.

import { Format, HEADS_AT_ONCE, PAGE_TOKENS, TILE_HEADS, TILE_ROWS } from '../abi';
import { attendTile, beginTiles } from './attention_tile';
import { dot, exp1, exp4, fma4, most4, scaleRow, splat, sum4, sums4 } from './math';
import { touch } from './memory';
import { headRows, pageOf, pagesOf, readRow, storedBytes } from './pages';
import { float, int, pointer, rowHi, rowLo, scratch, unitHi, unitLo } from './record';

export { kvAppend } from './pages';

// One group of query heads at one token. Set by `single`, read by what it calls.
let heads: i32 = 0;
let queries: usize = 0;
let outputs: usize = 0;
let keyWidth: i32 = 0;
let valueWidth: i32 = 0;

// Scratch: per head PAGE_TOKENS scores, then its maximum and its sum; then a page of decoded rows.
// @ts-ignore: decorator
@inline function scores(head: i32): usize { return scratch + (<usize>head * (PAGE_TOKENS + 4) << 2); }
// @ts-ignore: decorator
@inline function state(head: i32): usize { return scores(head) + (PAGE_TOKENS << 2); }
// @ts-ignore: decorator
@inline function decoded(): usize { return scores(HEADS_AT_ONCE); }

// @ts-ignore: decorator
@inline function slotOf(t: i32): i32 { return load<i32>(pointer(4) + (<usize>t << 2)); }
// @ts-ignore: decorator
@inline function positionOf(t: i32): i32 { return load<i32>(pointer(3) + (<usize>t << 2)); }

/**
 * Numbers: query heads, key heads, head width, value row, value width, entries, slots, pages,
 * window, chunk, query heads of a unit, scale, format of the store, tokens, whether rows are tiles, and whether
 * numbers may be rounded.
 */
export function pagedAttention(): void {
  const perKey = int(0) / int(1), most = min(perKey, TILE_HEADS), tokens = TILE_ROWS / most;
  keyWidth = int(2);
  valueWidth = int(4);
  beginTiles();
  if (int(14)) { shareTiles(perKey, most, tokens); return; }
  const lo = unitLo * int(10), hi = unitHi * int(10);
  for (let head = lo, count = 0; head < hi; head += count) {
    count = min(min(most, hi - head), perKey - head % perKey);
    for (let from = rowLo - rowLo % tokens; from < rowHi; from += tokens) attendRuns(from, tokens, rowLo, rowHi, head, count);
  }
}

/**
 * Rows of the record are tiles, those of one group of heads after those of another. Later tokens
 * see more, so a group's tiles are taken from both ends in turn: any stretch of them costs alike.
 */
function shareTiles(perKey: i32, most: i32, tokens: i32): void {
  const T = int(13), tiles = (T + tokens - 1) / tokens, groups = (perKey + most - 1) / most;
  for (let item = rowLo; item < rowHi; item++) {
    const group = item / tiles, turn = item % tiles, tile = turn & 1 ? tiles - 1 - (turn >> 1) : turn >> 1;
    const within = group % groups * most;
    attendRuns(tile * tokens, tokens, 0, T, group / groups * perKey + within, min(most, perKey - within));
  }
}

/** The tokens of [lo, hi) among those of one tile, run by run. */
function attendRuns(from: i32, tokens: i32, lo: i32, hi: i32, head: i32, count: i32): void {
  const end = min(from + tokens, int(13));
  for (let first = from, next = 0; first < end; first = next) {
    for (next = first + 1; next < end && follows(next);) next++;
    const a = max(first, lo), b = min(next, hi);
    if (a >= b) continue;
    if (next - first > 1) attendTile(a, b, head, count);
    else single(first, head, count);
  }
}

/** Whether a token is the next of its predecessor's sequence. */
function follows(t: i32): bool {
  return slotOf(t) >= 0 && slotOf(t) == slotOf(t - 1) && positionOf(t) == positionOf(t - 1) + 1;
}

/** First position that the token at `position` sees. */
export function firstVisible(position: i32): i32 {
  const window = int(8), chunk = int(9);
  const byWindow = window ? position - window + 1 : 0, byChunk = chunk ? position / chunk * chunk : 0;
  return max(0, max(byWindow, byChunk));
}

function single(t: i32, first: i32, count: i32): void {
  const N = int(0), keyHead = first / (N / int(1));
  for (let head = first; head < first + count; head += heads) {
    heads = min(HEADS_AT_ONCE, first + count - head);
    queries = pointer(0) + (<usize>((t * N + head) * keyWidth) << 2);
    outputs = pointer(6) + (<usize>((t * N + head) * valueWidth) << 2);
    memory.fill(outputs, 0, <usize>(heads * valueWidth) << 2);
    attend(t, keyHead);
  }
}

function attend(t: i32, keyHead: i32): void {
  const position = positionOf(t), slot = slotOf(t);
  if (slot < 0) return;
  const list = pagesOf(pointer(5), slot, int(6), int(5));
  if (!list) return;
  for (let head = 0; head < heads; head++) { store<f32>(state(head), -Infinity); store<f32>(state(head), 0, 4); }
  let from = firstVisible(position);
  while (from <= position) {
    const page = pageOf(list, from, int(5), int(7)), to = min(position + 1, (from / PAGE_TOKENS + 1) * PAGE_TOKENS);
    if (page < 0) return;
    attendPage(page, from % PAGE_TOKENS, to - from, keyHead);
    from = to;
  }
  for (let head = 0; head < heads; head++) scaleRow(output(head), 1 / load<f32>(state(head), 4), valueWidth);
}

/** `count` rows of a page from `row` on. Those that are not float32 are decoded, once for all heads. */
function attendPage(page: i32, row: i32, count: i32, keyHead: i32): void {
  const format = int(12), plain = format == Format.f32;
  const keyRow = storedBytes(format, keyWidth), valueRow = storedBytes(format, int(3));
  const keys = headRows(pointer(1), page, int(1), keyHead, keyRow) + <usize>row * keyRow;
  const values = headRows(pointer(2), page, int(1), keyHead, valueRow) + <usize>row * valueRow;
  touch(keys, <usize>count * keyRow);
  touch(values, <usize>count * valueRow);
  if (plain) score(keys, keyRow, count);
  else { decode(format, keys, keyRow, keyWidth, count); score(decoded(), <usize>keyWidth << 2, count); }
  for (let head = 0; head < heads; head++) weigh(head, count);
  if (!plain) decode(format, values, valueRow, valueWidth, count);
  if (plain) gatherValues(values, valueRow, count);
  else gatherValues(decoded(), <usize>valueWidth << 2, count);
}

function decode(format: i32, from: usize, stride: usize, n: i32, count: i32): void {
  for (let j = 0, to = decoded(); j < count; j++, from += stride, to += <usize>n << 2) readRow(format, from, n, to);
}

// @ts-ignore: decorator
@inline function query(head: i32): usize { return queries + (<usize>(head * keyWidth) << 2); }
// @ts-ignore: decorator
@inline function output(head: i32): usize { return outputs + (<usize>(head * valueWidth) << 2); }

function score(keys: usize, keyRow: usize, count: i32): void {
  const scale = splat(float(11));
  let j = 0;
  for (; j + 4 <= count; j += 4, keys += keyRow << 2) {
    const at = <usize>j << 2;
    let head = 0;
    for (; head + 2 <= heads; head += 2) dots(query(head), query(head + 1), keys, keyRow, scale, scores(head) + at, scores(head + 1) + at);
    if (head < heads) dots(query(head), query(head), keys, keyRow, scale, scores(head) + at, scores(head) + at);
  }
  for (; j < count; j++, keys += keyRow) for (let head = 0; head < heads; head++) {
    store<f32>(scores(head) + (<usize>j << 2), dot(query(head), keys, keyWidth) * float(11));
  }
}

/** Two queries times four keys. */
function dots(q0: usize, q1: usize, keys: usize, keyRow: usize, scale: v128, y0: usize, y1: usize): void {
  const k1 = keys + keyRow, k2 = k1 + keyRow, k3 = k2 + keyRow, end = <usize>keyWidth << 2, narrow = end & ~15;
  let a0 = splat(0), b0 = a0, c0 = a0, d0 = a0, a1 = a0, b1 = a0, c1 = a0, d1 = a0, i: usize = 0;
  for (; i < narrow; i += 16) {
    const v = v128.load(q0 + i), w = v128.load(q1 + i);
    let k = v128.load(keys + i);
    a0 = fma4(a0, k, v); a1 = fma4(a1, k, w);
    k = v128.load(k1 + i);
    b0 = fma4(b0, k, v); b1 = fma4(b1, k, w);
    k = v128.load(k2 + i);
    c0 = fma4(c0, k, v); c1 = fma4(c1, k, w);
    k = v128.load(k3 + i);
    d0 = fma4(d0, k, v); d1 = fma4(d1, k, w);
  }
  let s = sums4(a0, b0, c0, d0), t = sums4(a1, b1, c1, d1);
  for (; i < end; i += 4) {
    let k = v128.load32_zero(keys + i);
    k = v128.load32_lane(k1 + i, k, 1);
    k = v128.load32_lane(k2 + i, k, 2);
    k = v128.load32_lane(k3 + i, k, 3);
    s = fma4(s, k, v128.load32_splat(q0 + i));
    t = fma4(t, k, v128.load32_splat(q1 + i));
  }
  v128.store(y1, f32x4.mul(t, scale));
  v128.store(y0, f32x4.mul(s, scale));
}

/** Turns a head's scores into weights relative to the running maximum, and rescales what it has so far. */
function weigh(head: i32, count: i32): void {
  const at = scores(head), end = at + (<usize>(count + 3 & ~3) << 2), before = load<f32>(state(head));
  // Four at a time: what fills up the last four weighs nothing.
  for (let j = count; j & 3; j++) store<f32>(at + (<usize>j << 2), -Infinity);
  let tops = splat(before);
  for (let p = at; p < end; p += 16) tops = f32x4.pmax(tops, v128.load(p));
  const top = most4(tops);
  let sum: f32 = 0;
  if (before != -Infinity) {
    const shrink = exp1(before - top);
    sum = load<f32>(state(head), 4) * shrink;
    if (shrink != 1) scaleRow(output(head), shrink, valueWidth);
  }
  const whole = splat(top);
  let sums = splat(0);
  for (let p = at; p < end; p += 16) {
    const w = exp4(f32x4.sub(v128.load(p), whole));
    v128.store(p, w);
    sums = f32x4.add(sums, w);
  }
  store<f32>(state(head), top);
  store<f32>(state(head), sum + sum4(sums), 4);
}

/** Adds weighted value rows to the heads' outputs. */
function gatherValues(values: usize, valueRow: usize, count: i32): void {
  let head = 0;
  for (; head + 2 <= heads; head += 2) gatherTwo(head, values, valueRow, count);
  if (head < heads) gatherOne(head, values, valueRow, 0, count);
}

/** Sixteen columns of two heads at a time, so that each value is loaded once for both. */
function gatherTwo(head: i32, values: usize, valueRow: usize, count: i32): void {
  const w0 = scores(head), w1 = scores(head + 1), out0 = output(head), out1 = output(head + 1), wide = valueWidth & ~15;
  for (let d: usize = 0; d < <usize>wide << 2; d += 64) {
    const to0 = out0 + d, to1 = out1 + d;
    let a0 = v128.load(to0), b0 = v128.load(to0, 16), c0 = v128.load(to0, 32), e0 = v128.load(to0, 48), from = values + d;
    let a1 = v128.load(to1), b1 = v128.load(to1, 16), c1 = v128.load(to1, 32), e1 = v128.load(to1, 48);
    for (let j = 0; j < count; j++, from += valueRow) {
      const w = v128.load32_splat(w0 + (<usize>j << 2)), u = v128.load32_splat(w1 + (<usize>j << 2));
      let v = v128.load(from);
      a0 = fma4(a0, w, v); a1 = fma4(a1, u, v);
      v = v128.load(from, 16);
      b0 = fma4(b0, w, v); b1 = fma4(b1, u, v);
      v = v128.load(from, 32);
      c0 = fma4(c0, w, v); c1 = fma4(c1, u, v);
      v = v128.load(from, 48);
      e0 = fma4(e0, w, v); e1 = fma4(e1, u, v);
    }
    v128.store(to0, a0); v128.store(to0, b0, 16); v128.store(to0, c0, 32); v128.store(to0, e0, 48);
    v128.store(to1, a1); v128.store(to1, b1, 16); v128.store(to1, c1, 32); v128.store(to1, e1, 48);
  }
  gatherOne(head, values, valueRow, wide, count);
  gatherOne(head + 1, values, valueRow, wide, count);
}

/** One head's columns from `first` on. */
function gatherOne(head: i32, values: usize, valueRow: usize, first: i32, count: i32): void {
  const weights = scores(head), out = output(head), end = <usize>valueWidth << 2;
  let d = <usize>first << 2;
  for (; d + 64 <= end; d += 64) {
    const to = out + d;
    let a = v128.load(to), b = v128.load(to, 16), c = v128.load(to, 32), e = v128.load(to, 48), from = values + d;
    for (let j = 0; j < count; j++, from += valueRow) {
      const w = v128.load32_splat(weights + (<usize>j << 2));
      a = fma4(a, w, v128.load(from));
      b = fma4(b, w, v128.load(from, 16));
      c = fma4(c, w, v128.load(from, 32));
      e = fma4(e, w, v128.load(from, 48));
    }
    v128.store(to, a); v128.store(to, b, 16); v128.store(to, c, 32); v128.store(to, e, 48);
  }
  for (; d < end; d += 4) {
    let a = load<f32>(out + d), from = values + d;
    for (let j = 0; j < count; j++, from += valueRow) a += load<f32>(weights + (<usize>j << 2)) * load<f32>(from);
    store<f32>(out + d, a);
  }
}
