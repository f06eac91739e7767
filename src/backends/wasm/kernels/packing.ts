// Four stored rows interleaved a vector at a time: what loading and streaming spend their own time on.
// Where the numbers of a packed block lie is said in quantized.ts (Q8_0) and blocks.ts.

/** A Q8_0 block of each of four rows that are `stride` bytes apart. */
export function packQ8(stored: usize, stride: usize, packed: usize): void {
  scales(stored, stride, packed + 128);
  for (let half: usize = 0; half < 2; half++) {
    const from = stored + 2 + (half << 4), to = packed + (half << 6);
    const a = v128.load(from), b = v128.load(from + stride), c = v128.load(from + 2 * stride), d = v128.load(from + 3 * stride);
    pairs(to, v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11), v128.shuffle<i16>(c, d, 0, 8, 1, 9, 2, 10, 3, 11));
    pairs(to + 32, v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15), v128.shuffle<i16>(c, d, 4, 12, 5, 13, 6, 14, 7, 15));
  }
}

/** The same of Q4_0. */
export function packQ4(stored: usize, stride: usize, packed: usize): void {
  scales(stored, stride, packed + 64);
  packNibbles(stored + 2, stride, packed, packed + 32);
}

// @ts-ignore: decorator
@inline function scales(stored: usize, stride: usize, to: usize): void {
  for (let lane: usize = 0; lane < 4; lane++) store<u16>(to + (lane << 1), load<u16>(stored + lane * stride));
}

/** Pairs of rows 0 and 1, and of rows 2 and 3, as pairs of all four. */
// @ts-ignore: decorator
@inline function pairs(to: usize, ab: v128, cd: v128): void {
  v128.store(to, v128.shuffle<i32>(ab, cd, 0, 4, 1, 5));
  v128.store(to, v128.shuffle<i32>(ab, cd, 2, 6, 3, 7), 16);
}

/** Sixteen bytes of 4-bit numbers of each of four rows: two vectors of their low halves, two of their high ones. */
export function packNibbles(stored: usize, stride: usize, low: usize, high: usize): void {
  const a = v128.load(stored), b = v128.load(stored + stride), c = v128.load(stored + 2 * stride), d = v128.load(stored + 3 * stride);
  eights(low, joined(a), joined(b), joined(c), joined(d));
  eights(high, joined(i16x8.shr_u(a, 4)), joined(i16x8.shr_u(b, 4)), joined(i16x8.shr_u(c, 4)), joined(i16x8.shr_u(d, 4)));
}

/** Of the low nibbles of bytes 0 to 3 of each word: in its first byte those of 0 and 2, in its second those of 1 and 3. */
// @ts-ignore: decorator
@inline function joined(bytes: v128): v128 {
  const nibbles = v128.and(bytes, i8x16.splat(15));
  return v128.or(nibbles, i32x4.shr_u(nibbles, 12));
}

/** Two vectors, eight columns of four rows each. */
// @ts-ignore: decorator
@inline function eights(to: usize, a: v128, b: v128, c: v128, d: v128): void {
  const ab = v128.shuffle<i8>(a, b, 0, 4, 1, 5, 16, 20, 17, 21, 8, 12, 9, 13, 24, 28, 25, 29);
  const cd = v128.shuffle<i8>(c, d, 0, 4, 1, 5, 16, 20, 17, 21, 8, 12, 9, 13, 24, 28, 25, 29);
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(to, v128.shuffle<i64>(ab, cd, 1, 3), 16);
}
