// sample, in two records: of each part of a row of logits the best score and its token, then the best of
// the parts. Scores and noise are those of the op's definition, in float64.

import { int, pointer, rowHi, rowLo } from './record';

const NO_TOKEN: i32 = -1;
/** What a part leaves: its best score, and the token. */
const PART_BYTES: usize = 16;
/** 1 / ln 2, and a little less: where it rounds down, fewer tokens are passed over. */
const BITS_OF_NAT: f64 = 1.4426950408;

// @ts-ignore: decorator
@inline function scramble(bits: u32): u32 {
  let x = (bits ^ (bits >> 16)) * 0x7feb352d;
  x = (x ^ (x >> 15)) * 0x846ca68b;
  return x ^ (x >> 16);
}

// @ts-ignore: decorator
@inline function leave(at: usize, score: f64, token: i32): void {
  store<f64>(at, score);
  store<i32>(at, token, 8);
}

/** Numbers: row length, parts of a row. */
export function sampleParts(): void {
  const n = int(0), parts = int(1);
  for (let item = rowLo; item < rowHi; item++) {
    const r = item / parts, part = item % parts;
    if (load<i32>(pointer(2) + (<usize>r << 2)) < 0) continue;
    const from = <i32>(<i64>n * part / parts), to = <i32>(<i64>n * (part + 1) / parts);
    const row = pointer(0) + (<usize>r * n << 2), at = pointer(5) + <usize>item * PART_BYTES;
    const temperature = load<f32>(pointer(3) + (<usize>r << 2));
    if (temperature > 0) drawPart(row, from, to, temperature, load<u32>(pointer(4) + (<usize>r << 2)), load<u32>(pointer(1) + (<usize>r << 2)), at);
    else largestOfPart(row, from, to, at);
  }
}

/** The largest number, the first among equals; NaN is none. */
function largestOfPart(row: usize, from: i32, to: i32, at: usize): void {
  let four = f32x4.splat(-Infinity);
  let i = from;
  for (; i + 3 < to; i += 4) four = f32x4.pmax(four, v128.load(row + (<usize>i << 2)));
  let largest: f32 = -Infinity;
  for (; i < to; i++) {
    const value = load<f32>(row + (<usize>i << 2));
    if (value > largest) largest = value;
  }
  largest = max(largest, max(max(f32x4.extract_lane(four, 0), f32x4.extract_lane(four, 1)), max(f32x4.extract_lane(four, 2), f32x4.extract_lane(four, 3))));
  if (largest == -Infinity) { leave(at, -Infinity, NO_TOKEN); return; }
  const all = f32x4.splat(largest);
  i = from;
  while (i + 3 < to && !v128.any_true(f32x4.eq(all, v128.load(row + (<usize>i << 2))))) i += 4;
  while (load<f32>(row + (<usize>i << 2)) != largest) i++;
  leave(at, largest, i);
}

/** The largest of logit / temperature + noise. Most tokens are passed over before their noise is computed: it would have to be rarer than its bits are. */
function drawPart(row: usize, from: i32, to: i32, temperature: f32, seed: u32, position: u32, at: usize): void {
  const key = scramble(seed ^ scramble(position));
  let best: f64 = -Infinity, token = NO_TOKEN;
  for (let id = from; id < to; id++) {
    const scaled = <f64>load<f32>(row + (<usize>id << 2)) / <f64>temperature;
    // Noise above d nats belongs to numbers v below exp(-d), which begin with so many zero bits.
    const zeros = (best - scaled) * BITS_OF_NAT;
    if (zeros >= 33) continue;
    const bits = scramble(scramble(key + id) ^ seed);
    if (zeros >= 1 && bits >> (32 - <u32>zeros)) continue;
    const v = (<f64>bits + 0.5) / 4294967296.0;
    const score = scaled - Math.log(-Math.log1p(-v));
    if (score > best) { best = score; token = id; }
  }
  leave(at, best, token);
}

/** Numbers: parts of a row. */
export function sample(): void {
  const tokens = pointer(1), positions = pointer(2), slots = pointer(3), parts = int(0);
  for (let r = rowLo; r < rowHi; r++) {
    const offset = <usize>r << 2;
    if (load<i32>(slots + offset) < 0) continue;
    let best: f64 = -Infinity, token = NO_TOKEN;
    for (let part = 0; part < parts; part++) {
      const at = pointer(0) + <usize>(r * parts + part) * PART_BYTES;
      const score = load<f64>(at);
      if (score > best) { best = score; token = load<i32>(at, 8); }
    }
    store<i32>(tokens + offset, best < Infinity ? token : NO_TOKEN);
    store<i32>(positions + offset, load<i32>(positions + offset) + 1);
  }
}
