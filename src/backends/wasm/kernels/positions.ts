// What depends on a token's position: rope (a table of cosines and sines, then rotations that all
// layers make with it) and Llama 4's temperature.

import { float, int, pointer, rowHi, rowLo, unitHi, unitLo } from './record';

/** A row per token: F cosines, then F sines, times the amplitude. Numbers: F, amplitude, direction (1 or -1). */
export function ropeTable(): void {
  const positions = pointer(0), frequencies = pointer(1), out = pointer(2), F = int(0);
  for (let t = rowLo; t < rowHi; t++) {
    const position = <f64>load<i32>(positions + (<usize>t << 2)), to = out + (<usize>(t * F * 2) << 2);
    for (let f = 0; f < F; f++) {
      // Rounded to float32 as the references do: at long positions that is visible.
      const angle = <f64><f32>(position * <f64>load<f32>(frequencies + (<usize>f << 2)));
      store<f32>(to + (<usize>f << 2), <f32>Math.cos(angle) * float(1));
      store<f32>(to + (<usize>(F + f) << 2), <f32>Math.sin(angle) * float(1) * float(2));
    }
  }
}

/** Numbers: heads, head width, F, pairs interleaved, heads of a unit. */
export function rope(): void {
  const x = pointer(0), table = pointer(1), out = pointer(2), heads = int(0), width = int(1), F = int(2);
  for (let t = rowLo; t < rowHi; t++) for (let h = unitLo * int(4); h < unitHi * int(4); h++) {
    const at = <usize>(t * heads + h) * width << 2, cos = table + (<usize>(t * F * 2) << 2);
    if (int(3)) rotatePairs(x + at, cos, out + at, F);
    else rotateHalves(x + at, cos, out + at, F);
    memory.copy(out + at + (<usize>F << 3), x + at + (<usize>F << 3), <usize>(width - 2 * F) << 2);
  }
}

function rotateHalves(x: usize, cos: usize, out: usize, F: i32): void {
  const end = <usize>F << 2, sin = cos + end;
  let i: usize = 0;
  for (; i + 16 <= end; i += 16) {
    const a = v128.load(x + i), b = v128.load(x + end + i), c = v128.load(cos + i), s = v128.load(sin + i);
    v128.store(out + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(out + end + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
  for (; i < end; i += 4) rotate(x + i, x + end + i, load<f32>(cos + i), load<f32>(sin + i), out + i, out + end + i);
}

function rotatePairs(x: usize, cos: usize, out: usize, F: i32): void {
  const end = <usize>F << 2;
  for (let i: usize = 0; i < end; i += 4) {
    const at = i << 1;
    rotate(x + at, x + at + 4, load<f32>(cos + i), load<f32>(cos + end + i), out + at, out + at + 4);
  }
}

// @ts-ignore: decorator
@inline function rotate(x: usize, y: usize, cos: f32, sin: f32, toX: usize, toY: usize): void {
  const a = load<f32>(x), b = load<f32>(y);
  store<f32>(toX, a * cos - b * sin);
  store<f32>(toY, b * cos + a * sin);
}

/** Numbers: columns of a token, unit width, floor scale, strength. */
export function temperature(): void {
  const x = pointer(0), positions = pointer(1), out = pointer(2), n = int(0);
  const lo = unitLo * int(1), hi = min(unitHi * int(1), n);
  for (let t = rowLo; t < rowHi; t++) {
    const step = Math.floor(<f64>(load<i32>(positions + (<usize>t << 2)) + 1) / <f64>float(2));
    const factor = <f32>(Math.log(step + 1) * <f64>float(3) + 1);
    for (let i = <usize>(t * n + lo) << 2; i < <usize>(t * n + hi) << 2; i += 4) store<f32>(out + i, load<f32>(x + i) * factor);
  }
}
