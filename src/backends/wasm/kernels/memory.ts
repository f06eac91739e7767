// Reading ahead.

let touched: v128 = i32x4.splat(0);

/**
 * Reads memory once from beginning to end, which the processor does at full speed: the loops that
 * need it jump from row to row and would wait for each line.
 */
export function touch(from: usize, bytes: usize): void {
  let a = touched, b = a;
  for (const end = from + bytes; from + 128 <= end; from += 128) { a = v128.or(a, v128.load(from)); b = v128.or(b, v128.load(from, 64)); }
  touched = v128.or(a, b);
}
