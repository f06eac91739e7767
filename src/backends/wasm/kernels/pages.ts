// Pages of keys and values: where a token's rows lie, how kv_append writes them, and how rows of
// any stored type are read back as float32.

import { Failure, Format, PAGE_TOKENS } from '../abi';
import { decodeRow } from './formats';
import { largestOf4, splat } from './math';
import { fail, int, pointer, rowHi, rowLo, unitHi, unitLo } from './record';

/** Where a token's pages are listed; 0 when its slot is not one of the step's. */
export function pagesOf(table: usize, slot: i32, slots: i32, entries: i32): usize {
  if (<u32>slot < <u32>slots) return table + (<usize>(slot * entries) << 2);
  fail(Failure.slot, slot, slots);
  return 0;
}

/** The page that holds a position, or -1. */
export function pageOf(list: usize, position: i32, entries: i32, pages: i32): i32 {
  const logical = position / PAGE_TOKENS;
  const page = <u32>logical < <u32>entries ? load<i32>(list + (<usize>logical << 2)) : -1;
  if (<u32>page < <u32>pages) return page;
  fail(Failure.page, position, 0);
  return -1;
}

/** Bytes of `n` stored numbers. */
// @ts-ignore: decorator
@inline export function storedBytes(format: i32, n: i32): usize { return format == Format.q8 ? <usize>(n >> 5) * 34 : <usize>n << (format == Format.f32 ? 2 : 1); }

/** A stored row as float32. */
export function readRow(format: i32, from: usize, n: i32, out: usize): void {
  if (format != Format.f32) { decodeRow(format, from, 0, n, out); return; }
  // Rows are short: a loop is over before memory.copy has begun.
  const end = <usize>n << 2, narrow = end & ~15;
  let i: usize = 0;
  for (; i < narrow; i += 16) v128.store(out + i, v128.load(from + i));
  for (; i < end; i += 4) store<f32>(out + i, load<f32>(from + i));
}

/** Four float32 as the bits of f16 in the low halves of the lanes, rounded to nearest even. */
// @ts-ignore: decorator
@inline function f16Bits4(v: v128): v128 {
  const sign = v128.and(v, i32x4.splat(0x80000000)), size = v128.xor(v, sign);
  // Ordinary numbers: exponents differ by 112, and adding 0xfff and the last kept bit rounds.
  const odd = v128.and(i32x4.shr_u(size, 13), i32x4.splat(1));
  const ordinary = i32x4.min_s(i32x4.shr_u(i32x4.add(i32x4.add(size, odd), i32x4.splat(0xfff - 0x38000000)), 13), i32x4.splat(0x7c00));
  // Below the least normal f16: adding 0.5 leaves units of 2^-24 in the last bits, rounded as needed.
  const small = i32x4.sub(f32x4.add(size, splat(0.5)), i32x4.splat(0x3f000000));
  let bits = v128.bitselect(small, ordinary, i32x4.lt_s(size, i32x4.splat(0x38800000)));
  bits = v128.bitselect(i32x4.splat(0x7c00), bits, i32x4.ge_s(size, i32x4.splat(0x47800000)));
  bits = v128.bitselect(i32x4.splat(0x7e00), bits, i32x4.gt_s(size, i32x4.splat(0x7f800000)));
  return v128.or(bits, i32x4.shr_u(sign, 16));
}

/** `n` float32 as f16. */
function storeF16(from: usize, n: i32, out: usize): void {
  let i = 0;
  for (; i + 4 <= n; i += 4) {
    const bits = f16Bits4(v128.load(from + (<usize>i << 2)));
    v128.store64_lane(out + (<usize>i << 1), v128.shuffle<i16>(bits, bits, 0, 2, 4, 6, 0, 2, 4, 6), 0);
  }
  for (; i < n; i++) store<u16>(out + (<usize>i << 1), <u16>i32x4.extract_lane(f16Bits4(v128.load32_splat(from + (<usize>i << 2))), 0));
}

/** `n` float32 as q8_0 blocks, rounded as ggml does: halves away from zero. */
function storeQ8(from: usize, n: i32, out: usize): void {
  for (const end = from + (<usize>n << 2); from < end; from += 128, out += 34) {
    let most = splat(0);
    for (let i: usize = 0; i < 128; i += 16) most = f32x4.pmax(most, f32x4.abs(v128.load(from + i)));
    const scale = largestOf4(most) / 127;
    const inverse = splat(scale == 0 ? 0 : 1 / scale);
    store<u16>(out, <u16>i32x4.extract_lane(f16Bits4(splat(scale)), 0));
    for (let i: usize = 0; i < 32; i += 8) {
      const pair = i16x8.narrow_i32x4_s(awayFromZero(f32x4.mul(v128.load(from + (i << 2)), inverse)), awayFromZero(f32x4.mul(v128.load(from + (i << 2), 16), inverse)));
      v128.store64_lane(out + 2 + i, i8x16.narrow_i16x8_s(pair, pair), 0);
    }
  }
}

/** Rounded to int32, halves away from zero. */
// @ts-ignore: decorator
@inline function awayFromZero(v: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.add(v, v128.or(v128.and(v, i32x4.splat(0x80000000)), splat(0.5))));
}

/** Where a page's rows of one head begin: pages are [64, head width] for each head. */
// @ts-ignore: decorator
@inline export function headRows(store: usize, page: i32, heads: i32, head: i32, rowBytes: usize): usize {
  return store + <usize>(page * heads + head) * PAGE_TOKENS * rowBytes;
}

/** Numbers: heads, head width, page table entries, slots, pages, heads of a unit, format of the store. */
export function kvAppend(): void {
  const rows = pointer(0), positions = pointer(1), slots = pointer(2), table = pointer(3), kv = pointer(4);
  const heads = int(0), width = int(1), format = int(6), rowBytes = storedBytes(format, width);
  for (let t = rowLo; t < rowHi; t++) {
    const slot = load<i32>(slots + (<usize>t << 2)), position = load<i32>(positions + (<usize>t << 2));
    if (slot < 0) continue;
    const list = pagesOf(table, slot, int(3), int(2));
    const page = list ? pageOf(list, position, int(2), int(4)) : -1;
    if (page < 0) continue;
    for (let head = unitLo * int(5); head < unitHi * int(5); head++) {
      const to = headRows(kv, page, heads, head, rowBytes) + <usize>(position % PAGE_TOKENS) * rowBytes;
      const from = rows + (<usize>((t * heads + head) * width) << 2);
      if (format == Format.f32) memory.copy(to, from, rowBytes);
      else if (format == Format.f16) storeF16(from, width, to);
      else storeQ8(from, width, to);
    }
  }
}
