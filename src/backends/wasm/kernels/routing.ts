// Choosing experts and joining what they return: top_k, gather, outer, combine.

import { Failure } from '../abi';
import { accumulate } from './math';
import { fail, int, pointer, rowHi, rowLo, scratch, unitHi, unitLo } from './record';

// @ts-ignore: decorator
@inline function element(base: usize, i: i32): f32 { return load<f32>(base + (<usize>i << 2)); }

/** Whether each of a row's numbers may still be chosen: one byte each. */
// @ts-ignore: decorator
@inline function open(i: i32): usize { return scratch + i; }

/** The largest open number of [from, to), the first among equals; -1 when none is open. */
function best(row: usize, from: i32, to: i32): i32 {
  let found = -1;
  for (let i = from; i < to; i++) {
    if (load<u8>(open(i)) && (found < 0 || element(row, i) > element(row, found))) found = i;
  }
  return found;
}

/** Numbers: row length, k (at most what the picked groups hold), groups, groups picked, whether a group's score is its two largest. */
export function topK(): void {
  const x = pointer(0), values = pointer(1), indices = pointer(2), n = int(0), k = int(1);
  for (let r = rowLo; r < rowHi; r++) {
    const row = x + (<usize>r * n << 2);
    memory.fill(scratch, 1, n);
    if (int(3) < int(2)) closeGroups(row, n / int(2));
    for (let i = 0; i < k; i++) {
      const at = best(row, 0, n);
      store<u8>(open(at), 0);
      store<f32>(values + (<usize>(r * k + i) << 2), element(row, at));
      store<i32>(indices + (<usize>(r * k + i) << 2), at);
    }
  }
}

/** Leaves only the best groups open. Scores lie behind the open bytes. */
function closeGroups(row: usize, size: i32): void {
  const groups = int(2), scores = scratch + ((<usize>int(0) + 7) & ~7);
  for (let g = 0; g < groups; g++) {
    const first = best(row, g * size, (g + 1) * size);
    let score = <f64>element(row, first);
    if (int(4)) {
      store<u8>(open(first), 0);
      const second = best(row, g * size, (g + 1) * size);
      if (second >= 0) score += <f64>element(row, second);
    }
    store<f64>(scores + (<usize>g << 3), score);
  }
  memory.fill(scratch, 0, int(0));
  for (let picked = 0; picked < int(3); picked++) {
    let top = -1;
    for (let g = 0; g < groups; g++) {
      if (load<u8>(open(g * size)) == 0 && (top < 0 || load<f64>(scores + (<usize>g << 3)) > load<f64>(scores + (<usize>top << 3)))) top = g;
    }
    memory.fill(open(top * size), 1, size);
  }
}

/** Numbers: row length, picks of a row. */
export function gather(): void {
  const x = pointer(0), indices = pointer(1), out = pointer(2), n = int(0), k = int(1);
  for (let i = rowLo * k; i < rowHi * k; i++) {
    const index = load<i32>(indices + (<usize>i << 2)), good = <u32>index < <u32>n;
    if (!good) fail(Failure.index, index, n);
    store<f32>(out + (<usize>i << 2), good ? element(x, i / k * n + index) : 0);
  }
}

/** Numbers: choices of a token, columns. */
export function outer(): void {
  const w = pointer(0), x = pointer(1), out = pointer(2), k = int(0), n = int(1);
  for (let c = rowLo * k; c < rowHi * k; c++) {
    const to = out + (<usize>c * n << 2);
    memory.fill(to, 0, <usize>n << 2);
    accumulate(to, x + (<usize>(c / k) * n << 2), element(w, c), n);
  }
}

/** Numbers: choices of a token, columns, unit width. */
export function combine(): void {
  const y = pointer(0), w = pointer(1), out = pointer(2), k = int(0), n = int(1);
  const lo = unitLo * int(2), hi = min(unitHi * int(2), n);
  for (let t = rowLo; t < rowHi; t++) {
    const to = out + (<usize>(t * n + lo) << 2);
    memory.fill(to, 0, <usize>max(0, hi - lo) << 2);
    for (let c = t * k; c < (t + 1) * k; c++) accumulate(to, y + (<usize>(c * n + lo) << 2), element(w, c), max(0, hi - lo));
  }
}
