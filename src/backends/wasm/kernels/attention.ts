// kv_append and paged_attention. A query head walks the pages its token sees, keeping a running
// maximum and sum (online softmax, arXiv:1805.02867), so that working memory does not grow with
// the context. Query heads of one key/value head go together, up to HEADS_AT_ONCE.

import { Failure, HEADS_AT_ONCE, PAGE_TOKENS } from '../abi';
import { dot, exp1, exp4, scaleRow, splat, sums4 } from './math';
import { fail, float, int, pointer, rowHi, rowLo, scratch, unitHi, unitLo } from './record';

/** Where a token's pages are listed; 0 when its slot is not one of the step's. */
function pagesOf(table: usize, slot: i32, slots: i32, entries: i32): usize {
  if (<u32>slot < <u32>slots) return table + (<usize>(slot * entries) << 2);
  fail(Failure.slot, slot, slots);
  return 0;
}

/** The page that holds a position, or -1. */
function pageOf(list: usize, position: i32, entries: i32, pages: i32): i32 {
  const logical = position / PAGE_TOKENS;
  const page = <u32>logical < <u32>entries ? load<i32>(list + (<usize>logical << 2)) : -1;
  if (<u32>page < <u32>pages) return page;
  fail(Failure.page, position, 0);
  return -1;
}

/** Numbers: heads, head width, page table entries, slots, pages, heads of a unit. */
export function kvAppend(): void {
  const rows = pointer(0), positions = pointer(1), slots = pointer(2), table = pointer(3), kv = pointer(4);
  const width = int(0) * int(1), part = unitLo * int(5) * int(1), length = (unitHi - unitLo) * int(5) * int(1);
  for (let t = rowLo; t < rowHi; t++) {
    const slot = load<i32>(slots + (<usize>t << 2)), position = load<i32>(positions + (<usize>t << 2));
    if (slot < 0) continue;
    const list = pagesOf(table, slot, int(3), int(2));
    const page = list ? pageOf(list, position, int(2), int(4)) : -1;
    if (page < 0) continue;
    const to = <usize>(page * PAGE_TOKENS + position % PAGE_TOKENS) * width + part;
    memory.copy(kv + (to << 2), rows + (<usize>(t * width + part) << 2), <usize>length << 2);
  }
}

// One group of query heads at one token. Set by `pagedAttention`, read by what it calls.
let heads: i32 = 0;
let queries: usize = 0;
let outputs: usize = 0;
let keyWidth: i32 = 0;
let valueWidth: i32 = 0;

// Scratch: per head PAGE_TOKENS scores, then its maximum and its sum.
// @ts-ignore: decorator
@inline function scores(head: i32): usize { return scratch + (<usize>head * (PAGE_TOKENS + 4) << 2); }
// @ts-ignore: decorator
@inline function state(head: i32): usize { return scores(head) + (PAGE_TOKENS << 2); }

/**
 * Numbers: query heads, key heads, head width, value row, value width, entries, slots, pages,
 * window, chunk, query heads of a unit, scale.
 */
export function pagedAttention(): void {
  const q = pointer(0), out = pointer(6), N = int(0), H = int(2), D = int(4), perKey = N / int(1);
  keyWidth = H;
  valueWidth = D;
  const lo = unitLo * int(10), hi = unitHi * int(10);
  for (let t = rowLo; t < rowHi; t++) for (let head = lo; head < hi; head += heads) {
    heads = min(min(HEADS_AT_ONCE, hi - head), perKey - head % perKey);
    queries = q + (<usize>((t * N + head) * H) << 2);
    outputs = out + (<usize>((t * N + head) * D) << 2);
    memory.fill(outputs, 0, <usize>(heads * D) << 2);
    attend(t, head / perKey);
  }
}

function firstVisible(position: i32): i32 {
  const window = int(8), chunk = int(9);
  const byWindow = window ? position - window + 1 : 0, byChunk = chunk ? position / chunk * chunk : 0;
  return max(0, max(byWindow, byChunk));
}

function attend(t: i32, keyHead: i32): void {
  const position = load<i32>(pointer(3) + (<usize>t << 2)), slot = load<i32>(pointer(4) + (<usize>t << 2));
  if (slot < 0) return;
  const list = pagesOf(pointer(5), slot, int(6), int(5));
  if (!list) return;
  for (let head = 0; head < heads; head++) { store<f32>(state(head), -Infinity); store<f32>(state(head), 0, 4); }
  const keyRow = <usize>(int(1) * keyWidth) << 2, valueRow = <usize>(int(1) * int(3)) << 2;
  let from = firstVisible(position);
  while (from <= position) {
    const page = pageOf(list, from, int(5), int(7)), to = min(position + 1, (from / PAGE_TOKENS + 1) * PAGE_TOKENS);
    if (page < 0) return;
    const row = <usize>(page * PAGE_TOKENS + from % PAGE_TOKENS), count = to - from;
    score(pointer(1) + row * keyRow + (<usize>(keyHead * keyWidth) << 2), keyRow, count);
    const values = pointer(2) + row * valueRow + (<usize>(keyHead * int(3)) << 2);
    for (let head = 0; head < heads; head++) { weigh(head, count); gatherValues(head, values, valueRow, count); }
    from = to;
  }
  for (let head = 0; head < heads; head++) scaleRow(outputs + (<usize>(head * valueWidth) << 2), 1 / load<f32>(state(head), 4), valueWidth);
}

function score(keys: usize, keyRow: usize, count: i32): void {
  const scale = splat(float(11));
  let j = 0;
  for (; j + 4 <= count; j += 4, keys += keyRow << 2) for (let head = 0; head < heads; head++) {
    v128.store(scores(head) + (<usize>j << 2), f32x4.mul(dots(queries + (<usize>(head * keyWidth) << 2), keys, keyRow, keyWidth), scale));
  }
  for (; j < count; j++, keys += keyRow) for (let head = 0; head < heads; head++) {
    store<f32>(scores(head) + (<usize>j << 2), dot(queries + (<usize>(head * keyWidth) << 2), keys, keyWidth) * float(11));
  }
}

/** One query times four keys. */
function dots(q: usize, keys: usize, keyRow: usize, n: i32): v128 {
  const k1 = keys + keyRow, k2 = k1 + keyRow, k3 = k2 + keyRow, end = <usize>n << 2, narrow = end & ~15;
  let a = splat(0), b = a, c = a, d = a, i: usize = 0;
  for (; i < narrow; i += 16) {
    const v = v128.load(q + i);
    a = f32x4.add(a, f32x4.mul(v, v128.load(keys + i)));
    b = f32x4.add(b, f32x4.mul(v, v128.load(k1 + i)));
    c = f32x4.add(c, f32x4.mul(v, v128.load(k2 + i)));
    d = f32x4.add(d, f32x4.mul(v, v128.load(k3 + i)));
  }
  let sum = sums4(a, b, c, d);
  for (; i < end; i += 4) {
    let v = v128.load32_zero(keys + i);
    v = v128.load32_lane(k1 + i, v, 1);
    v = v128.load32_lane(k2 + i, v, 2);
    v = v128.load32_lane(k3 + i, v, 3);
    sum = f32x4.add(sum, f32x4.mul(v, v128.load32_splat(q + i)));
  }
  return sum;
}

/** Turns a head's scores into weights relative to the running maximum, and rescales what it has so far. */
function weigh(head: i32, count: i32): void {
  const at = scores(head), before = load<f32>(state(head));
  let top = before;
  for (let j = 0; j < count; j++) top = max<f32>(top, load<f32>(at + (<usize>j << 2)));
  let sum: f32 = 0;
  if (before != -Infinity) {
    const shrink = exp1(before - top);
    sum = load<f32>(state(head), 4) * shrink;
    if (shrink != 1) scaleRow(outputs + (<usize>(head * valueWidth) << 2), shrink, valueWidth);
  }
  // Four at a time: what lies behind the last score is not read again.
  for (let j: usize = 0; j < <usize>count << 2; j += 16) v128.store(at + j, exp4(f32x4.sub(v128.load(at + j), splat(top))));
  for (let j = 0; j < count; j++) sum += load<f32>(at + (<usize>j << 2));
  store<f32>(state(head), top);
  store<f32>(state(head), sum, 4);
}

/** Adds weighted value rows to a head's output, sixteen columns at a time. */
function gatherValues(head: i32, values: usize, valueRow: usize, count: i32): void {
  const weights = scores(head), out = outputs + (<usize>(head * valueWidth) << 2), end = <usize>valueWidth << 2;
  let d: usize = 0;
  for (; d + 64 <= end; d += 64) {
    const to = out + d;
    let a = v128.load(to), b = v128.load(to, 16), c = v128.load(to, 32), e = v128.load(to, 48), from = values + d;
    for (let j = 0; j < count; j++, from += valueRow) {
      const w = v128.load32_splat(weights + (<usize>j << 2));
      a = f32x4.add(a, f32x4.mul(w, v128.load(from)));
      b = f32x4.add(b, f32x4.mul(w, v128.load(from, 16)));
      c = f32x4.add(c, f32x4.mul(w, v128.load(from, 32)));
      e = f32x4.add(e, f32x4.mul(w, v128.load(from, 48)));
    }
    v128.store(to, a); v128.store(to, b, 16); v128.store(to, c, 32); v128.store(to, e, 48);
  }
  for (; d < end; d += 4) {
    let a = load<f32>(out + d), from = values + d;
    for (let j = 0; j < count; j++, from += valueRow) a += load<f32>(weights + (<usize>j << 2)) * load<f32>(from);
    store<f32>(out + d, a);
  }
}
