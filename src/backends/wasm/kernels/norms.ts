// What needs a whole row at a time: norms, softmax, normalize_sum. A token has `parts` rows (its
// heads, or one), split among threads by token or by part.
// Numbers: row length, parts of a token, parts of a unit, eps, offset.

import { exp4, splat, sum4 } from './math';
import { float, int, pointer, rowHi, rowLo, unitHi, unitLo } from './record';

function squares(x: usize, n: i32): f32 {
  const end = <usize>n << 2, narrow = end & ~15;
  let s = splat(0), i: usize = 0;
  for (; i < narrow; i += 16) { const v = v128.load(x + i); s = f32x4.add(s, f32x4.mul(v, v)); }
  let sum = sum4(s);
  for (; i < end; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);
  return sum;
}

function total(x: usize, n: i32): f32 {
  const end = <usize>n << 2, narrow = end & ~15;
  let s = splat(0), i: usize = 0;
  for (; i < narrow; i += 16) s = f32x4.add(s, v128.load(x + i));
  let sum = sum4(s);
  for (; i < end; i += 4) sum += load<f32>(x + i);
  return sum;
}

/** out = x * inverse * (w + offset), or x * inverse without a weight. */
function scaled(x: usize, w: usize, out: usize, n: i32, inverse: f32, offset: f32): void {
  const end = <usize>n << 2, narrow = end & ~15, f = splat(inverse), o = splat(offset);
  let i: usize = 0;
  for (; i < narrow; i += 16) {
    const v = f32x4.mul(v128.load(x + i), f);
    v128.store(out + i, w ? f32x4.mul(v, f32x4.add(v128.load(w + i), o)) : v);
  }
  for (; i < end; i += 4) {
    const v = load<f32>(x + i) * inverse;
    store<f32>(out + i, w ? v * (load<f32>(w + i) + offset) : v);
  }
}

export function rmsNorm(): void {
  const x = pointer(0), w = pointer(1), out = pointer(2), n = int(0), parts = int(1), width = int(2);
  for (let r = rowLo; r < rowHi; r++) for (let p = unitLo * width; p < unitHi * width; p++) {
    const at = <usize>(r * parts + p) * n << 2;
    scaled(x + at, w, out + at, n, 1 / sqrt<f32>(squares(x + at, n) / <f32>n + float(3)), float(4));
  }
}

export function addRmsNorm(): void {
  const a = pointer(0), b = pointer(1), w = pointer(2), sum = pointer(3), out = pointer(4), n = int(0);
  const end = <usize>n << 2, narrow = end & ~15;
  for (let r = rowLo; r < rowHi; r++) {
    const at = <usize>r * n << 2;
    let i: usize = 0;
    for (; i < narrow; i += 16) v128.store(sum + at + i, f32x4.add(v128.load(a + at + i), v128.load(b + at + i)));
    for (; i < end; i += 4) store<f32>(sum + at + i, load<f32>(a + at + i) + load<f32>(b + at + i));
    scaled(sum + at, w, out + at, n, 1 / sqrt<f32>(squares(sum + at, n) / <f32>n + float(3)), float(4));
  }
}

export function layerNorm(): void {
  const x = pointer(0), w = pointer(1), b = pointer(2), out = pointer(3), n = int(0);
  for (let r = rowLo; r < rowHi; r++) {
    const from = x + (<usize>r * n << 2), to = out + (<usize>r * n << 2);
    const mean = total(from, n) / <f32>n;
    for (let i: usize = 0; i < <usize>n << 2; i += 4) store<f32>(to + i, load<f32>(from + i) - mean);
    const inverse: f32 = 1 / sqrt<f32>(squares(to, n) / <f32>n + float(3));
    for (let i: usize = 0; i < <usize>n << 2; i += 4) store<f32>(to + i, load<f32>(to + i) * inverse * load<f32>(w + i) + load<f32>(b + i));
  }
}

export function softmax(): void {
  const x = pointer(0), out = pointer(1), n = int(0);
  for (let r = rowLo; r < rowHi; r++) {
    const from = x + (<usize>r * n << 2), to = out + (<usize>r * n << 2), end = <usize>n << 2;
    let top: f32 = -Infinity;
    for (let i: usize = 0; i < end; i += 4) top = max<f32>(top, load<f32>(from + i));
    for (let i: usize = 0; i < end; i += 4) store<f32>(to + i, f32x4.extract_lane(exp4(splat(load<f32>(from + i) - top)), 0));
    const sum = total(to, n);
    for (let i: usize = 0; i < end; i += 4) store<f32>(to + i, load<f32>(to + i) / sum);
  }
}

export function normalizeSum(): void {
  const x = pointer(0), out = pointer(1), n = int(0);
  for (let r = rowLo; r < rowHi; r++) {
    const from = x + (<usize>r * n << 2), to = out + (<usize>r * n << 2), sum = total(from, n) + float(3);
    for (let i: usize = 0; i < <usize>n << 2; i += 4) store<f32>(to + i, load<f32>(from + i) / sum);
  }
}
