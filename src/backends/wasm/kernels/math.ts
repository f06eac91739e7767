// Functions of four floats at once, and sums. A lane's result never depends on the other lanes,
// so a lone element goes through the same code and where a thread's share ends changes nothing.

// @ts-ignore: decorator
@inline export function splat(x: f32): v128 { return f32x4.splat(x); }

/** sum + a b: one rounding where relaxed SIMD and the processor have it, else two. */
// @ts-ignore: decorator
@inline export function fma4(sum: v128, a: v128, b: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, sum);
  return f32x4.add(sum, f32x4.mul(a, b));
}

// V8 makes a constant vector anew, in three instructions, wherever it is used, loops included: what
// loops use a lot is read from memory, in one.
const CONSTANTS = memory.data<f32>([
  -87.33654, 88.37626, 1.44269504088896341, -0.693359375, 2.12194440e-4,
  1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1, 12582912,
  -125, 0.9999992847442627, 0.6931217908859253, 0.240247443318367, 0.05591785907745361, 0.009570101276040077,
], 16);
const WHOLE_CONSTANTS = memory.data<i32>([127, 0x4b400000], 16);
// @ts-ignore: decorator
@inline function constant(index: usize): v128 { return v128.load32_splat(CONSTANTS + (index << 2)); }
// @ts-ignore: decorator
@inline function wholeConstant(index: usize): v128 { return v128.load32_splat(WHOLE_CONSTANTS + (index << 2)); }

// A float below 2^22 added to 1.5 x 2^23 is rounded to a whole number, which its last bits then hold.
// @ts-ignore: decorator
@inline function shifted(v: v128): v128 { return f32x4.add(v, constant(12)); }

/** Rounded to the nearest whole number, to even in the middle; below 2^22 in size. */
// @ts-ignore: decorator
@inline export function round4(v: v128): v128 { return i32x4.sub(shifted(v), wholeConstant(1)); }

// f32x4.max takes eight instructions, for what the standard says of NaN and of zeros. Bits of numbers without their
// signs are ordered as the numbers are, with NaN above all, and compared in one.
/** Sizes as integers, which `larger4` compares. */
// @ts-ignore: decorator
@inline export function sizes4(v: v128): v128 { return i32x4.shl(v, 1); }
/** Sizes from such integers. */
// @ts-ignore: decorator
@inline export function ofSizes4(v: v128): v128 { return i32x4.shr_u(v, 1); }
/** The larger of what has no sign, or of such integers. */
// @ts-ignore: decorator
@inline export function larger4(a: v128, b: v128): v128 { return i32x4.max_u(a, b); }

/** e^x, within 2 units in the last place; arguments are clamped to what float32 can hold. */
// @ts-ignore: decorator
@inline export function exp4(v: v128): v128 {
  // Cephes expf: x = n ln 2 + r, a polynomial in r, n added to the exponent.
  const x = f32x4.pmin(f32x4.pmax(v, constant(0)), constant(1));
  const whole = shifted(f32x4.mul(x, constant(2))), n = f32x4.sub(whole, constant(12));
  const r = fma4(fma4(x, n, constant(3)), n, constant(4));
  let y = constant(5);
  y = fma4(constant(6), y, r);
  y = fma4(constant(7), y, r);
  y = fma4(constant(8), y, r);
  y = fma4(constant(9), y, r);
  y = fma4(constant(10), y, r);
  y = f32x4.add(fma4(r, f32x4.mul(y, r), r), constant(11));
  return f32x4.mul(y, i32x4.shl(i32x4.add(whole, wholeConstant(0)), 23));
}

/** e^x of what is not above 0, within 3e-6 of itself: what will be rounded further. */
// @ts-ignore: decorator
@inline export function exp4Below(v: v128): v128 {
  // 2^y: the whole part of y goes to the exponent, a polynomial fitted to -0.5 ... 0.5 makes the rest.
  const y = f32x4.pmax(f32x4.mul(v, constant(2)), constant(13));
  const whole = shifted(y), r = f32x4.sub(y, f32x4.sub(whole, constant(12)));
  const p = fma4(constant(14), fma4(constant(15), fma4(constant(16), fma4(constant(17), constant(18), r), r), r), r);
  return i32x4.add(p, i32x4.shl(whole, 23));
}

// @ts-ignore: decorator
@inline export function exp1(x: f32): f32 { return f32x4.extract_lane(exp4(splat(x)), 0); }

// @ts-ignore: decorator
@inline export function sigmoid4(x: v128): v128 {
  return f32x4.div(splat(1), f32x4.add(splat(1), exp4(f32x4.neg(x))));
}

// @ts-ignore: decorator
@inline export function silu4(x: v128): v128 {
  return f32x4.div(x, f32x4.add(splat(1), exp4(f32x4.neg(x))));
}

/** x (1 + tanh u) / 2 is x sigmoid(2u), which does not cancel. */
// @ts-ignore: decorator
@inline export function gelu4(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(x, x), x);
  const u = f32x4.mul(f32x4.add(x, f32x4.mul(cube, splat(0.044715))), splat(1.5957691216057308));
  return f32x4.mul(x, sigmoid4(u));
}

// @ts-ignore: decorator
@inline export function sum4(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1)) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** The largest of four, none of which is NaN. */
// @ts-ignore: decorator
@inline export function most4(v: v128): f32 {
  const pairs = f32x4.pmax(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmax(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

/** The largest of four without signs; NaN if there is one. */
// @ts-ignore: decorator
@inline export function largestOf4(v: v128): f32 {
  const pairs = larger4(v, v128.shuffle<f32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(larger4(pairs, v128.shuffle<f32>(pairs, pairs, 1, 0, 3, 2)), 0);
}

/** The four vectors' own sums, as one vector. */
// @ts-ignore: decorator
@inline export function sums4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7));
}

/** Dot product of two rows of `n` floats. */
export function dot(a: usize, b: usize, n: i32): f32 {
  let s = splat(0), t = s, i: usize = 0;
  const end = <usize>n << 2, wide = end & ~31, narrow = end & ~15;
  for (; i < wide; i += 32) {
    s = fma4(s, v128.load(a + i), v128.load(b + i));
    t = fma4(t, v128.load(a + i, 16), v128.load(b + i, 16));
  }
  for (; i < narrow; i += 16) s = fma4(s, v128.load(a + i), v128.load(b + i));
  let sum = sum4(f32x4.add(s, t));
  for (; i < end; i += 4) sum += load<f32>(a + i) * load<f32>(b + i);
  return sum;
}

/** y += factor * x over `n` floats. */
export function accumulate(y: usize, x: usize, factor: f32, n: i32): void {
  const end = <usize>n << 2, narrow = end & ~15, f = splat(factor);
  let i: usize = 0;
  for (; i < narrow; i += 16) v128.store(y + i, fma4(v128.load(y + i), f, v128.load(x + i)));
  for (; i < end; i += 4) store<f32>(y + i, load<f32>(y + i) + factor * load<f32>(x + i));
}

export function scaleRow(y: usize, factor: f32, n: i32): void {
  const end = <usize>n << 2, narrow = end & ~15, f = splat(factor);
  let i: usize = 0;
  for (; i < narrow; i += 16) v128.store(y + i, f32x4.mul(v128.load(y + i), f));
  for (; i < end; i += 4) store<f32>(y + i, load<f32>(y + i) * factor);
}
