// Sums of a tile of four rows of int8 activations (byte-rows.ts) with two groups of four matrix rows. They lie in
// 128 bytes of memory, four of one group beside four of the other for each row: in variables they would take
// registers from the sums of a block.

import { Format } from '../abi';
import { fma4, splat } from './math';
import { putTile4 } from './quantized';

/** Makes sums zero: a call of memory.fill takes longer than these stores. */
// @ts-ignore: decorator
@inline export function clear(rows: usize, bytes: usize): void {
  for (let i: usize = 0; i < bytes; i += 64) {
    v128.store(rows + i, splat(0)); v128.store(rows + i, splat(0), 16); v128.store(rows + i, splat(0), 32); v128.store(rows + i, splat(0), 48);
  }
}

/** Adds a block's sums, with the weights' scales and that at `scale`, to those of a tile's row. A power is taken from both halves, which saturate, so that zero stays zero. */
// @ts-ignore: decorator
@inline function added(format: i32, acc: v128, sum: v128, d: v128, scale: usize): v128 {
  const by = v128.load32_splat(scale);
  return fma4(acc, f32x4.convert_i32x4_s(sum), format == Format.q8 ? f32x4.mul(d, by) : i16x8.sub_sat_u(d, by));
}

/** A tile's sums with the scale of their row. */
// @ts-ignore: decorator
@inline function scaledRow(sums: usize, scale: usize): v128 { return f32x4.mul(v128.load(sums), v128.load32_splat(scale)); }

/** Without what a minimum takes off. */
// @ts-ignore: decorator
@inline export function lessened(format: i32, total: v128, minimum: v128, sum: usize): v128 {
  return format != Format.q4k ? total : f32x4.sub(total, f32x4.mul(minimum, v128.load32_splat(sum)));
}

/** Adds a block's sums of both groups to those of the row that `to` holds: both are read before either is written, so that V8 may join them. */
// @ts-ignore: decorator
@inline export function addBoth(to: usize, format: i32, s: v128, t: v128, d: v128, e: v128, m: v128, n: v128, scale: usize, sum: usize): void {
  const f = v128.load(to), g = v128.load(to, 16);
  const a = lessened(format, added(format, f, s, d, scale), m, sum), b = lessened(format, added(format, g, t, e, scale), n, sum);
  v128.store(to, a);
  v128.store(to, b, 16);
}

/** The sums of four rows with their scales, to the output rows that a table names: those of the first group at `at`, of the second at `beside`. */
export function putRows(rows: usize, scales: usize, y: usize, at: usize, beside: usize): void {
  // Where there is no second group it is the first again.
  putTile4(y, beside, scaledRow(rows + 16, scales), scaledRow(rows + 48, scales + 4), scaledRow(rows + 80, scales + 8), scaledRow(rows + 112, scales + 12));
  putTile4(y, at, scaledRow(rows, scales), scaledRow(rows + 32, scales + 4), scaledRow(rows + 64, scales + 8), scaledRow(rows + 96, scales + 12));
}
