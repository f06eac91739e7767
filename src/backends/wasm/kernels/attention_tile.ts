// Attention of consecutive tokens of one sequence: the rows of a tile (tokens x the query heads of
// one key/value head, up to TILE_ROWS) share each read of a page, which is decoded and laid out for
// them once, as float32 or as int16. What a row does not see it weighs with zero; a row's sums run over
// positions in order, each in a lane of its own, so that its result does not depend on the rows beside it.
//
// Scratch: keys [64][H] unless they are read in place; values in panels of eight columns [D/8][64][8]; queries, scaled, in
// panels of eight rows [ROWS/8][H][8]; weights [ROWS/4][64][4]; sums [ROWS][D]; per row maximum, sum,
// first position seen, the one behind the last, and, of int16, scales of its queries and of its weights; three
// rows of H or D; and, of int16, pages: which they are, then each one's keys, values and scales of both.

import { Format, KEPT_PAGES, PAGE_TOKENS, TILE_ROWS } from '../abi';
import { firstVisible } from './attention';
import { gather, gatherWide, score, scoreWide, WEIGHTS_OF_FOUR } from './attention_floats';
import { gatherIntegers, putValues, roundKey, roundQuery, roundValue, scoreIntegers, weighIntegers } from './attention_integers';
import { byteOffset } from './byte-dots';
import { exp4, fma4, scaleRow, splat } from './math';
import { headRows, pageOf, pagesOf, readRow, storedBytes } from './pages';
import { float, int, pointer, revectorized, scratch } from './record';

/** Less than any score; finite, so that a row that saw nothing yet gives no NaN. See math.ts on constants. */
export const LOWEST = memory.data<f32>([-1e30]);
/** Bytes of one float32 or int32 for each row. */
const STATE: usize = TILE_ROWS << 2;

// Of the record.
let H: i32 = 0;
let D: i32 = 0;
let integers: bool = false;
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
let keyScales: usize = 0;
let valueScales: usize = 0;
let line: usize = 0;
let lineBytes: usize = 0;
/** Which pages are kept as int16 for further tiles, by their place in the sequence: of this head of this list of pages. */
let kept: usize = 0;
let keptHead: i32 = 0;
let keptList: usize = 0;
// Of the tile: query heads and rows.
let heads: i32 = 0;
let rows: i32 = 0;

// @ts-ignore: decorator
@inline function maximum(row: i32): usize { return states + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function total(row: i32): usize { return states + STATE + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function seenFrom(row: i32): usize { return states + 2 * STATE + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function seenTo(row: i32): usize { return states + 3 * STATE + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function queryScale(row: i32): usize { return states + 4 * STATE + (<usize>row << 2); }
// @ts-ignore: decorator
@inline function weightScale(row: i32): usize { return states + 5 * STATE + (<usize>row << 2); }
/** The weights of four rows. */
// @ts-ignore: decorator
@inline function weightsOf(row: i32): usize { return weights + <usize>(row >> 2) * WEIGHTS_OF_FOUR; }
// @ts-ignore: decorator
@inline function panelOf(row: i32): usize { return queries + (<usize>((row >> 3) * H) << (integers ? 4 : 5)); }

/** Divides the scratch for the record that runs now; lower/attention.ts asks for as much. */
export function beginTiles(): void {
  H = int(2);
  D = int(4);
  // Where an instruction multiplies and adds float32 but none pairs of int16 (Arm), nothing would be gained.
  integers = <bool>int(15) && byteOffset() != 0;
  sumRow = <usize>((D + 7) & ~7) << 2;
  decodedKeys = scratch;
  values = decodedKeys + (<usize>(PAGE_TOKENS * H) << 2);
  queries = values + PAGE_TOKENS * sumRow;
  weights = queries + (<usize>(TILE_ROWS * H) << 2);
  sums = weights + (TILE_ROWS >> 2) * WEIGHTS_OF_FOUR;
  states = sums + TILE_ROWS * sumRow;
  line = states + 6 * STATE;
  lineBytes = max(<usize>H << 2, sumRow);
  kept = line + 3 * lineBytes;
  keptList = 0;
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
    if (integers) takeIntegers(list, page, from, to - from, keyHead);
    else takePage(page, from % PAGE_TOKENS, to - from, keyHead);
    scoreAll(from, to - from);
    for (let r = 0; r < rows; r += 4) weigh(r, from, seen(r, from, to - from));
    gatherAll(from, to - from);
  }
  give(first, head);
}

/** Lays out the rows' queries and begins their sums. Rows that fill up a panel are zero and see everything. */
function takeQueries(first: i32, head: i32): void {
  const scale = float(11), N = int(0);
  memory.fill(sums, 0, TILE_ROWS * sumRow);
  for (let r = 0; r < (rows + 7 & ~7); r++) {
    const t = first + r / heads, to = panelOf(r) + (<usize>(r & 7) << 2), real = r < rows;
    const from = pointer(0) + (<usize>((t * N + head + r % heads) * H) << 2);
    if (integers) store<f32>(queryScale(r), real ? roundQuery(from, H, to, line) * scale : 0);
    else for (let i = 0; i < H; i++) store<f32>(to + (<usize>i << 5), real ? load<f32>(from + (<usize>i << 2)) * scale : 0);
    const position = real ? load<i32>(pointer(3) + (<usize>t << 2)) : 0;
    store<f32>(maximum(r), load<f32>(LOWEST));
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

/** The same from position `from` on as int16; whole pages are kept for the tiles that follow. */
function takeIntegers(list: usize, page: i32, from: i32, count: i32, keyHead: i32): void {
  if (list != keptList || keyHead != keptHead) memory.fill(kept, 0, KEPT_PAGES << 2);
  keptList = list;
  keptHead = keyHead;
  const place = from / PAGE_TOKENS, keeps = count == PAGE_TOKENS && place < KEPT_PAGES, id = kept + (<usize>place << 2);
  // Others have a place behind those that are kept.
  keys = kept + (KEPT_PAGES << 2) + <usize>(keeps ? place : KEPT_PAGES) * PAGE_TOKENS * (<usize>(H + D) * 2 + 8);
  values = keys + <usize>(PAGE_TOKENS * H) * 2;
  keyScales = values + <usize>(PAGE_TOKENS * D) * 2;
  valueScales = keyScales + (PAGE_TOKENS << 2);
  if (keeps && load<i32>(id) == page + 1) return;
  if (keeps) store<i32>(id, page + 1);
  const format = int(12), row = <usize>(from % PAGE_TOKENS), same = pointer(1) == pointer(2);
  const keyRow = storedBytes(format, H), valueRow = same ? keyRow : storedBytes(format, int(3));
  const key = headRows(pointer(1), page, int(1), keyHead, keyRow) + row * keyRow, value = headRows(pointer(2), page, int(1), keyHead, valueRow) + row * valueRow;
  const first = line + lineBytes, second = first + lineBytes;
  for (let j = 0; j < count; j++) {
    const at = <usize>j << 2, odd = j & 1, to = values + (<usize>(j >> 1) << 5);
    store<f32>(keyScales + at, roundKey(asFloats(format, key + <usize>j * keyRow, H), H, keys + (<usize>(j * H) << 1)));
    store<f32>(valueScales + at, roundValue(asFloats(format, value + <usize>j * valueRow, D), D, odd ? second : first));
    // The last of an odd number stands for its partner too, which weighs nothing.
    if (odd) putValues(first, second, D, to);
    else if (j + 1 == count) putValues(first, first, D, to);
  }
}

/** A row of a page as float32: where it lies, or decoded. */
function asFloats(format: i32, row: usize, n: i32): usize {
  if (format == Format.f32) return row;
  readRow(format, row, n, line);
  return line;
}

/** How many of `count` positions from `from` on the last of four rows sees; earlier ones see no more. */
function seen(r: i32, from: i32, count: i32): i32 { return min(count, load<i32>(seenTo(r + 3)) - from); }

/** What a panel of rows does not see is not scored. */
function scoreAll(from: i32, count: i32): void {
  const wide = revectorized() && !integers ? rows & ~15 : 0;
  for (let j = 0; j < count; j += 4) {
    const key = keys + (<usize>(j * H) << (integers ? 1 : 2)), at = <usize>j << 4;
    for (let r = 0; r < wide; r += 16) scoreWide(key, H, panelOf(r), weightsOf(r) + at);
    for (let r = wide; r < rows; r += 8) {
      if (load<i32>(seenTo(r + 7)) <= from + j) continue;
      if (integers) scoreIntegers(key, H, panelOf(r), weightsOf(r) + at, queryScale(r), keyScales + (<usize>j << 2));
      else score(key, H, panelOf(r), weightsOf(r) + at);
    }
  }
}

function gatherAll(from: i32, count: i32): void {
  const wide = revectorized() && !integers ? sumRow & ~63 : 0;
  for (let d: usize = 0; d < sumRow; d += 32) for (let r = 0; r < rows; r += 4) {
    const w = weightsOf(r), to = sums + <usize>r * sumRow + d, n = seen(r, from, count);
    if (n <= 0) continue;
    if (integers) gatherIntegers(values + d * PAGE_TOKENS / 2, w, n, to, sumRow, weightScale(r));
    else if (d >= wide) gather(values + d * PAGE_TOKENS, w, n, to, sumRow);
    else if ((d & 32) == 0) gatherWide(values + d * PAGE_TOKENS, w, n, to, sumRow);
  }
}

/** Turns `count` scores of four rows into weights relative to their running maxima, and rescales what they have so far. */
function weigh(r: i32, from: i32, count: i32): void {
  if (count <= 0) return;
  const first = v128.load(seenFrom(r)), behind = v128.load(seenTo(r)), before = v128.load(maximum(r));
  const edge = v128.any_true(v128.or(i32x4.gt_s(first, i32x4.splat(from)), i32x4.lt_s(behind, i32x4.splat(from + count))));
  const at = weightsOf(r);
  if (edge) hide(at, first, behind, from, count);
  const top = f32x4.pmax(before, largest(at, count));
  const shrink = exp4(f32x4.sub(before, top));
  const sum = integers ? weighIntegers(at, count, top, valueScales, weightScale(r)) : exponentials(at, count, top);
  v128.store(maximum(r), top);
  v128.store(total(r), fma4(sum, v128.load(total(r)), shrink));
  if (!v128.any_true(f32x4.ne(shrink, splat(1)))) return;
  const own = sums + <usize>r * sumRow, columns = <i32>(sumRow >> 2);
  scaleRow(own, f32x4.extract_lane(shrink, 0), columns);
  scaleRow(own + sumRow, f32x4.extract_lane(shrink, 1), columns);
  scaleRow(own + 2 * sumRow, f32x4.extract_lane(shrink, 2), columns);
  scaleRow(own + 3 * sumRow, f32x4.extract_lane(shrink, 3), columns);
}

/** The largest scores of four rows. */
function largest(at: usize, count: i32): v128 {
  const end = at + (<usize>count << 4);
  let a = v128.load32_splat(LOWEST), b = a;
  for (; at + 16 < end; at += 32) {
    a = f32x4.pmax(a, v128.load(at));
    b = f32x4.pmax(b, v128.load(at, 16));
  }
  return f32x4.pmax(b, at < end ? f32x4.pmax(a, v128.load(at)) : a);
}

/** Turns scores of four rows into weights, and returns their sums. */
function exponentials(at: usize, count: i32, top: v128): v128 {
  const end = at + (<usize>count << 4), lowest = v128.load32_splat(LOWEST);
  let sum = splat(0);
  for (; at < end; at += 16) {
    const s = v128.load(at);
    // exp4 never gives zero, which hidden positions must weigh.
    const w = v128.and(exp4(f32x4.sub(s, top)), f32x4.gt(s, lowest));
    v128.store(at, w);
    sum = f32x4.add(sum, w);
  }
  return sum;
}

/** Sets the scores of positions that a row does not see to the lowest. */
function hide(at: usize, first: v128, behind: v128, from: i32, count: i32): void {
  for (let j = 0; j < count; j++, at += 16) {
    const position = i32x4.splat(from + j), seen = v128.and(i32x4.le_s(first, position), i32x4.gt_s(behind, position));
    v128.store(at, v128.bitselect(v128.load(at), v128.load32_splat(LOWEST), seen));
  }
}

/** Sums over totals, to the output. */
function give(first: i32, head: i32): void {
  for (let r = 0; r < rows; r++) {
    const from = sums + <usize>r * sumRow, to = pointer(6) + (<usize>(((first + r / heads) * int(0) + head + r % heads) * D) << 2);
    scaleRow(from, 1 / load<f32>(total(r)), D);
    memory.copy(to, from, <usize>D << 2);
  }
}
