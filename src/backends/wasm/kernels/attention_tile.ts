// Attention of consecutive tokens of one sequence: the rows of a tile (tokens x the query heads of
// one key/value head, up to TILE_ROWS) share each read of a page, which is decoded and laid out for
// them once. What a row does not see it weighs with zero; a row's sums run over positions in
// order, each in a lane of its own, so that its result does not depend on the rows beside it.
//
// Scratch: keys [64][H] unless they are read in place; values in panels of eight columns [D/8][64][8]; queries, scaled, in
// panels of eight rows [ROWS/8][H][8]; weights [64][ROWS]; sums [ROWS][D]; per row maximum, sum,
// first position seen and the one behind the last.

import { Format, PAGE_TOKENS, TILE_ROWS } from '../abi';
import { firstVisible } from './attention';
import { exp4, fma4, scaleRow, splat } from './math';
import { headRows, pageOf, pagesOf, readRow, storedBytes } from './pages';
import { float, int, pointer, revectorized, scratch } from './record';

/** Less than any score; finite, so that a row that saw nothing yet gives no NaN. */
const LOWEST: f32 = -1e30;
const WEIGHT_ROW: usize = TILE_ROWS << 2;

// Of the record.
let H: i32 = 0;
let D: i32 = 0;
/** Bytes of a row of sums: D rounded up to whole panels. */
let sumRow: usize = 0;
/** Where keys are decoded to, and where those of the page lie: there, or in the page. */
let decodedKeys: usize = 0;
let keys: usize = 0;
let values: usize = 0;
let queries: usize = 0;
let weights: usize = 0;
let sums: usize = 0;
let states: usize = 0;
let line: usize = 0;
// Of the tile: query heads and rows.
let heads: i32 = 0;
let rows: i32 = 0;

// @ts-ignore: decorator
@inline function maximum(row: i32): usize { return states + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function total(row: i32): usize { return states + WEIGHT_ROW + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function seenFrom(row: i32): usize { return states + 2 * WEIGHT_ROW + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function seenTo(row: i32): usize { return states + 3 * WEIGHT_ROW + (<usize>row << 2); }

/** Divides the scratch for the record that runs now; lower/attention.ts asks for as much. */
export function beginTiles(): void {
  H = int(2);
  D = int(4);
  sumRow = <usize>((D + 7) & ~7) << 2;
  decodedKeys = scratch;
  values = decodedKeys + (<usize>(PAGE_TOKENS * H) << 2);
  queries = values + PAGE_TOKENS * sumRow;
  weights = queries + (<usize>(TILE_ROWS * H) << 2);
  sums = weights + PAGE_TOKENS * WEIGHT_ROW;
  states = sums + TILE_ROWS * sumRow;
  line = states + 4 * WEIGHT_ROW;
}

/** Tokens [first, end), which follow one another, times `count` query heads from `head` on. */
export function attendTile(first: i32, end: i32, head: i32, count: i32): void {
  const list = pagesOf(pointer(5), load<i32>(pointer(4) + (<usize>first << 2)), int(6), int(5));
  if (!list) return;
  heads = count;
  rows = (end - first) * count;
  takeQueries(first, head);
  const position = load<i32>(pointer(3) + (<usize>first << 2)), behind = position + end - first, keyHead = head / (int(0) / int(1));
  for (let from = firstVisible(position), to = 0; from < behind; from = to) {
    to = min(behind, (from / PAGE_TOKENS + 1) * PAGE_TOKENS);
    const page = pageOf(list, from, int(5), int(7));
    if (page < 0) return;
    takePage(page, from % PAGE_TOKENS, to - from, keyHead);
    scoreAll(to - from);
    for (let r = 0; r < rows; r += 4) weigh(r, from, to - from);
    gatherAll(to - from);
  }
  give(first, head);
}

/** Lays out the rows' queries and begins their sums. Rows that fill up a panel are zero and see everything. */
function takeQueries(first: i32, head: i32): void {
  const scale = float(11), N = int(0);
  memory.fill(sums, 0, TILE_ROWS * sumRow);
  for (let r = 0; r < (rows + 7 & ~7); r++) {
    const t = first + r / heads, to = queries + (<usize>((r >> 3) * H * 8 + (r & 7)) << 2), real = r < rows;
    const from = pointer(0) + (<usize>((t * N + head + r % heads) * H) << 2);
    for (let i = 0; i < H; i++) store<f32>(to + (<usize>i << 5), real ? load<f32>(from + (<usize>i << 2)) * scale : 0);
    const position = real ? load<i32>(pointer(3) + (<usize>t << 2)) : 0;
    store<f32>(maximum(r), LOWEST);
    store<f32>(total(r), 0);
    store<i32>(seenFrom(r), real ? firstVisible(position) : 0);
    store<i32>(seenTo(r), real ? position + 1 : i32.MAX_VALUE);
  }
}

/** Lays out `count` rows of a page from `row` on. */
function takePage(page: i32, row: i32, count: i32, keyHead: i32): void {
  const format = int(12), keyRow = storedBytes(format, H), valueRow = storedBytes(format, int(3));
  const key = headRows(pointer(1), page, int(1), keyHead, keyRow) + <usize>row * keyRow;
  const value = headRows(pointer(2), page, int(1), keyHead, valueRow) + <usize>row * valueRow;
  // Keys in float32 are read where they are: `score` takes four rows, which may not leave the page.
  const inPlace = format == Format.f32 && (row & 3) == 0;
  keys = inPlace ? key : decodedKeys;
  if (!inPlace) for (let j = 0; j < count; j++) readRow(format, key + <usize>j * keyRow, H, keys + (<usize>(j * H) << 2));
  // MLA: values are the first columns of the keys.
  const same = pointer(1) == pointer(2);
  for (let j = 0; j < count; j++) {
    let from = same ? keys + (<usize>(j * H) << 2) : value + <usize>j * valueRow;
    const stored = same ? <i32>Format.f32 : format;
    // Panels take whole groups of eight columns.
    if (stored != Format.f32 || (D & 7) != 0) { readRow(stored, from, D, line); from = line; }
    const to = values + (<usize>j << 5);
    for (let d: usize = 0; d < sumRow; d += 32) {
      v128.store(to + d * PAGE_TOKENS, v128.load(from + d));
      v128.store(to + d * PAGE_TOKENS, v128.load(from + d, 16), 16);
    }
  }
}

/** Where the engine joins instructions, twice as many rows share what is loaded of keys, and twice as many columns of values weights. */
function scoreAll(count: i32): void {
  const wide = revectorized() ? rows & ~15 : 0;
  for (let j = 0; j < count; j += 4) {
    for (let r = 0; r < wide; r += 16) scoreWide(j, r);
    for (let r = wide; r < rows; r += 8) score(j, r);
  }
}
function gatherAll(count: i32): void {
  const wide = revectorized() ? sumRow & ~63 : 0;
  for (let d: usize = 0; d < wide; d += 64) for (let r = 0; r < rows; r += 4) gatherWide(r, d, count);
  for (let d = wide; d < sumRow; d += 32) for (let r = 0; r < rows; r += 4) gather(r, d, count);
}

/** Scores of sixteen rows and four positions. */
function scoreWide(j: i32, r: i32): void {
  const stride = <usize>H << 2, k0 = keys + <usize>j * stride, k1 = k0 + stride, k2 = k1 + stride, k3 = k2 + stride;
  let a0 = splat(0), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0, c0 = a0, d0 = a0, c1 = a0, d1 = a0, c2 = a0, d2 = a0, c3 = a0, d3 = a0;
  let q = queries + (<usize>(r * H) << 2), p = q + (stride << 3);
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
  const to = weights + <usize>j * WEIGHT_ROW + (<usize>r << 2);
  store16(to, a0, b0, c0, d0);
  store16(to + WEIGHT_ROW, a1, b1, c1, d1);
  store16(to + 2 * WEIGHT_ROW, a2, b2, c2, d2);
  store16(to + 3 * WEIGHT_ROW, a3, b3, c3, d3);
}

// @ts-ignore: decorator
@inline function store16(to: usize, a: v128, b: v128, c: v128, d: v128): void { v128.store(to, a); v128.store(to, b, 16); v128.store(to, c, 32); v128.store(to, d, 48); }

/** Scores of eight rows and four positions. */
function score(j: i32, r: i32): void {
  const stride = <usize>H << 2, k0 = keys + <usize>j * stride, k1 = k0 + stride, k2 = k1 + stride, k3 = k2 + stride;
  let a0 = splat(0), b0 = a0, a1 = a0, b1 = a0, a2 = a0, b2 = a0, a3 = a0, b3 = a0, q = queries + (<usize>(r * H) << 2);
  for (let i: usize = 0; i < stride; i += 4, q += 32) {
    const a = v128.load(q), b = v128.load(q, 16);
    let k = v128.load32_splat(k0 + i);
    a0 = fma4(a0, a, k); b0 = fma4(b0, b, k);
    k = v128.load32_splat(k1 + i);
    a1 = fma4(a1, a, k); b1 = fma4(b1, b, k);
    k = v128.load32_splat(k2 + i);
    a2 = fma4(a2, a, k); b2 = fma4(b2, b, k);
    k = v128.load32_splat(k3 + i);
    a3 = fma4(a3, a, k); b3 = fma4(b3, b, k);
  }
  const to = weights + <usize>j * WEIGHT_ROW + (<usize>r << 2);
  v128.store(to, a0); v128.store(to, b0, 16);
  v128.store(to + WEIGHT_ROW, a1); v128.store(to + WEIGHT_ROW, b1, 16);
  v128.store(to + 2 * WEIGHT_ROW, a2); v128.store(to + 2 * WEIGHT_ROW, b2, 16);
  v128.store(to + 3 * WEIGHT_ROW, a3); v128.store(to + 3 * WEIGHT_ROW, b3, 16);
}

/** Turns scores of four rows into weights relative to their running maxima, and rescales what they have so far. */
function weigh(r: i32, from: i32, count: i32): void {
  const first = v128.load(seenFrom(r)), behind = v128.load(seenTo(r)), before = v128.load(maximum(r));
  const edge = v128.any_true(v128.or(i32x4.gt_s(first, i32x4.splat(from)), i32x4.lt_s(behind, i32x4.splat(from + count))));
  const at = weights + (<usize>r << 2);
  if (edge) hide(at, first, behind, from, count);
  let top = before;
  for (let j = 0, p = at; j < count; j++, p += WEIGHT_ROW) top = f32x4.pmax(top, v128.load(p));
  const shrink = exp4(f32x4.sub(before, top));
  let sum = f32x4.mul(v128.load(total(r)), shrink);
  for (let j = 0, p = at; j < count; j++, p += WEIGHT_ROW) {
    const s = v128.load(p);
    // exp4 never gives zero, which hidden positions must weigh.
    const w = v128.and(exp4(f32x4.sub(s, top)), f32x4.gt(s, splat(LOWEST)));
    v128.store(p, w);
    sum = f32x4.add(sum, w);
  }
  v128.store(maximum(r), top);
  v128.store(total(r), sum);
  if (!v128.any_true(f32x4.ne(shrink, splat(1)))) return;
  const own = sums + <usize>r * sumRow, columns = <i32>(sumRow >> 2);
  scaleRow(own, f32x4.extract_lane(shrink, 0), columns);
  scaleRow(own + sumRow, f32x4.extract_lane(shrink, 1), columns);
  scaleRow(own + 2 * sumRow, f32x4.extract_lane(shrink, 2), columns);
  scaleRow(own + 3 * sumRow, f32x4.extract_lane(shrink, 3), columns);
}

/** Sets the scores of positions that a row does not see to the lowest. */
function hide(at: usize, first: v128, behind: v128, from: i32, count: i32): void {
  for (let j = 0; j < count; j++, at += WEIGHT_ROW) {
    const position = i32x4.splat(from + j), seen = v128.and(i32x4.le_s(first, position), i32x4.gt_s(behind, position));
    v128.store(at, v128.bitselect(v128.load(at), splat(LOWEST), seen));
  }
}

/** Adds weighted values to eight columns (from byte `d` of a row) of four rows' sums. */
function gather(r: i32, d: usize, count: i32): void {
  const y0 = sums + <usize>r * sumRow + d, y1 = y0 + sumRow, y2 = y1 + sumRow, y3 = y2 + sumRow;
  let a0 = v128.load(y0), b0 = v128.load(y0, 16), a1 = v128.load(y1), b1 = v128.load(y1, 16);
  let a2 = v128.load(y2), b2 = v128.load(y2, 16), a3 = v128.load(y3), b3 = v128.load(y3, 16);
  let v = values + d * PAGE_TOKENS, w = weights + (<usize>r << 2);
  for (let j = 0; j < count; j++, v += 32, w += WEIGHT_ROW) {
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

/** The same for sixteen columns. */
function gatherWide(r: i32, d: usize, count: i32): void {
  const y0 = sums + <usize>r * sumRow + d, y1 = y0 + sumRow, y2 = y1 + sumRow, y3 = y2 + sumRow;
  let a0 = v128.load(y0), b0 = v128.load(y0, 16), c0 = v128.load(y0, 32), e0 = v128.load(y0, 48), a1 = v128.load(y1), b1 = v128.load(y1, 16), c1 = v128.load(y1, 32), e1 = v128.load(y1, 48);
  let a2 = v128.load(y2), b2 = v128.load(y2, 16), c2 = v128.load(y2, 32), e2 = v128.load(y2, 48), a3 = v128.load(y3), b3 = v128.load(y3, 16), c3 = v128.load(y3, 32), e3 = v128.load(y3, 48);
  let v = values + d * PAGE_TOKENS, u = v + 32 * PAGE_TOKENS, w = weights + (<usize>r << 2);
  for (let j = 0; j < count; j++, v += 32, u += 32, w += WEIGHT_ROW) {
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

/** Sums over totals, to the output. */
function give(first: i32, head: i32): void {
  for (let r = 0; r < rows; r++) {
    const from = sums + <usize>r * sumRow, to = pointer(6) + (<usize>(((first + r / heads) * int(0) + head + r % heads) * D) << 2);
    scaleRow(from, 1 / load<f32>(total(r)), D);
    memory.copy(to, from, <usize>D << 2);
  }
}
