// The instruction that multiplies bytes and sums four products of a lane.
//
// The standard's takes a factor of seven bits and leaves open what an eighth is. Processors that have it (x86
// with AVX-VNNI, Arm with dot products) compute exactly with it: it counts as 128 or as -128, which a
// product on first use tells. Where it is made of several instructions, pairs of products saturate (other x86),
// and int16 is as fast.

const PROBE = memory.data<u8>([127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 127, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255], 16);
const UNKNOWN = -2;
let offset: i32 = UNKNOWN;

/** What is added to signed bytes, so that they are a factor as the instruction takes it: 128 where it has no negative ones, 0 where it has; -1 where there is no such instruction. */
export function byteOffset(): i32 {
  if (!ASC_FEATURE_RELAXED_SIMD) return -1;
  if (offset == UNKNOWN) {
    const sum = i32x4.extract_lane(dots(i32x4.splat(0), v128.load(PROBE), v128.load(PROBE, 16)), 0);
    offset = sum == 4 * 127 * 255 ? 128 : sum == -4 * 127 ? 0 : -1;
  }
  return offset;
}

/** Adds products of signed bytes with such as `byteOffset` describes. */
// @ts-ignore: decorator
@inline export function dots(sum: v128, signed: v128, bytes: v128): v128 {
  if (!ASC_FEATURE_RELAXED_SIMD) return unreachable();
  return i32x4.relaxed_dot_i8x16_i7x16_add_s(signed, bytes, sum);
}
