// Attention over the step's own rows, and its gradient. The gradient goes twice over the scores: once
// by query, for dq, keeping each row's maximum, sum and mean; once by key, for dk and dv. So every row of
// every result belongs to one thread, and no sum depends on how many there are.
//
// Numbers of all: tokens, query heads, key heads, key width, value row, value width, window, chunk, scale.

import { accumulate, dot, exp1 } from './math';
import { float, int, pointer, rowHi, rowLo, scratch } from './record';

// @ts-ignore: decorator
@inline function number(base: usize, i: i32): i32 { return load<i32>(base + (<usize>i << 2)); }
// @ts-ignore: decorator
@inline function score(i: i32): usize { return scratch + (<usize>i << 2); }
// @ts-ignore: decorator
@inline function rowOf(base: usize, token: i32, heads: i32, head: i32, width: i32): usize { return base + (<usize>((token * heads + head) * width) << 2); }

/** The first position that the token at `position` sees. */
function firstVisible(position: i32): i32 {
  const window = int(6), chunk = int(7);
  return max(window ? max(0, position - window + 1) : 0, chunk ? position / chunk * chunk : 0);
}

// Of the row that `scores` went over last.
let top: f32 = 0;
let total: f32 = 0;
let first: i32 = 0;
let count: i32 = 0;

/** Scores of a query over the keys it sees, as e^(score - maximum) in scratch. */
function scores(q: usize, k: usize, start: i32, position: i32, head: i32): void {
  const from = firstVisible(position), K = int(2), H = int(3), scale = float(8);
  first = start + from;
  count = position - from + 1;
  top = -Infinity;
  for (let j = 0; j < count; j++) {
    const s = dot(q, rowOf(k, first + j, K, head, H), H) * scale;
    store<f32>(score(j), s);
    top = max<f32>(top, s);
  }
  total = 0;
  for (let j = 0; j < count; j++) {
    const e = exp1(load<f32>(score(j)) - top);
    store<f32>(score(j), e);
    total += e;
  }
}

/** Operands: q, k, v, positions, starts, out, and log of the sum of e^score [T, N]. */
export function rowAttention(): void {
  const N = int(1), K = int(2), V = int(4), D = int(5);
  for (let t = rowLo; t < rowHi; t++) for (let n = 0; n < N; n++) {
    const head = n * K / N, to = rowOf(pointer(5), t, N, n, D);
    scores(rowOf(pointer(0), t, N, n, int(3)), pointer(1), number(pointer(4), t), number(pointer(3), t), head);
    memory.fill(to, 0, <usize>D << 2);
    for (let j = 0; j < count; j++) accumulate(to, rowOf(pointer(2), first + j, K, head, V), load<f32>(score(j)) / total, D);
    store<f32>(pointer(6) + (<usize>(t * N + n) << 2), top + <f32>Math.log(total));
  }
}

/** Operands: q, k, positions, starts, out [T, N]: each token's own largest score. */
export function rowAttentionMax(): void {
  const N = int(1), K = int(2);
  for (let t = rowLo; t < rowHi; t++) for (let n = 0; n < N; n++) {
    scores(rowOf(pointer(0), t, N, n, int(3)), pointer(1), number(pointer(3), t), number(pointer(2), t), n * K / N);
    store<f32>(pointer(4) + (<usize>(t * N + n) << 2), top);
  }
}

/** The largest of each column. Numbers: rows, columns. */
export function columnMax(): void {
  const from = pointer(0), out = pointer(1), n = int(1);
  memory.copy(out, from, <usize>n << 2);
  for (let r = 1; r < int(0); r++) for (let i = 0; i < n; i++) {
    const to = out + (<usize>i << 2);
    store<f32>(to, max<f32>(load<f32>(to), load<f32>(from + (<usize>(r * n + i) << 2))));
  }
}

/** Operands: q, k, v, positions, starts, dout, dq, and per token and head: maximum, sum, mean of the weights' gradients. */
export function rowAttentionGradQueries(): void {
  const N = int(1), K = int(2), H = int(3), V = int(4), D = int(5), scale = float(8);
  for (let t = rowLo; t < rowHi; t++) for (let n = 0; n < N; n++) {
    const head = n * K / N, dout = rowOf(pointer(5), t, N, n, D), dq = rowOf(pointer(6), t, N, n, H), kept = rowOf(pointer(7), t, N, n, 3);
    scores(rowOf(pointer(0), t, N, n, H), pointer(1), number(pointer(4), t), number(pointer(3), t), head);
    const slopes = score(count);
    let mean: f32 = 0;
    for (let j = 0; j < count; j++) {
      const slope = dot(dout, rowOf(pointer(2), first + j, K, head, V), D);
      store<f32>(slopes + (<usize>j << 2), slope);
      mean += slope * load<f32>(score(j));
    }
    mean /= total;
    memory.fill(dq, 0, <usize>H << 2);
    for (let j = 0; j < count; j++) {
      const weight = load<f32>(score(j)) / total;
      accumulate(dq, rowOf(pointer(1), first + j, K, head, H), weight * (load<f32>(slopes + (<usize>j << 2)) - mean) * scale, H);
    }
    store<f32>(kept, top);
    store<f32>(kept, total, 4);
    store<f32>(kept, mean, 8);
  }
}

/** Operands: q, k, v, positions, starts, dout, what queries kept, and dk beside dv: K heads of H + V numbers a token. */
export function rowAttentionGradKeys(): void {
  const T = int(0), N = int(1), K = int(2), H = int(3), V = int(4), D = int(5), scale = float(8), group = N / K;
  // A record has eight operands, so both results are one, taken apart afterwards.
  const both = pointer(7);
  for (let j = rowLo; j < rowHi; j++) {
    const start = number(pointer(4), j), position = number(pointer(3), j);
    memory.fill(both + (<usize>(j * K * (H + V)) << 2), 0, <usize>(K * (H + V)) << 2);
    for (let t = j; t < T && number(pointer(4), t) == start; t++) {
      if (firstVisible(number(pointer(3), t)) > position) continue;
      for (let n = 0; n < N; n++) {
        const head = n / group, q = rowOf(pointer(0), t, N, n, H), dout = rowOf(pointer(5), t, N, n, D), kept = rowOf(pointer(6), t, N, n, 3);
        const dk = rowOf(both, j, K, head, H + V), dv = dk + (<usize>H << 2);
        const weight = exp1(dot(q, rowOf(pointer(1), j, K, head, H), H) * scale - load<f32>(kept)) / load<f32>(kept, 4);
        const slope = dot(dout, rowOf(pointer(2), j, K, head, V), D);
        accumulate(dv, dout, weight, D);
        accumulate(dk, q, weight * (slope - load<f32>(kept, 8)) * scale, H);
      }
    }
  }
}
