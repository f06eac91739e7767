// matmul: the float32 products of gradients and Newton-Schulz, A B or A^T B. Columns of B are packed
// eight at a time, in stretches of K that stay in the nearest cache, and meet four rows of A. An
// element's products are always added in the order of K, whichever thread has its row.

import { fma4, splat } from './math';
import { int, pointer, rowHi, rowLo, scratch } from './record';

/** Products added before the next stretch of B is packed. */
const STRETCH: i32 = 256;
const TILE: usize = 8 * 4;

/** Numbers: M, K, N, whether A is transposed. Scratch: a packed stretch, then four rows of eight. */
export function matmul(): void {
  const a = pointer(0), b = pointer(1), out = pointer(2), M = int(0), K = int(1), N = int(2), transposed = int(3) != 0;
  // Bytes from one row of A to the next, and from one k to the next.
  const across: usize = transposed ? 4 : <usize>K << 2, along: usize = transposed ? <usize>M << 2 : 4;
  const spare = scratch + STRETCH * TILE;
  for (let k = 0; k < K; k += STRETCH) {
    const depth = min(STRETCH, K - k);
    for (let n = 0; n < N; n += 8) {
      const columns = min(8, N - n);
      pack(b + (<usize>(k * N + n) << 2), <usize>N << 2, depth, columns);
      for (let m = rowLo; m < rowHi; m += 4) {
        const rows = min(4, rowHi - m), whole = rows == 4 && columns == 8;
        const to = out + (<usize>(m * N + n) << 2), from = a + <usize>m * across + <usize>k * along;
        const target = whole ? to : spare, stride: usize = whole ? <usize>N << 2 : TILE;
        if (!whole && k > 0) copyTile(to, <usize>N << 2, spare, TILE, rows, columns);
        // Rows that are not there repeat the last one, into the spare tile.
        const last = <usize>(rows - 1) * across;
        tile(from, from + min(across, last), from + min(across * 2, last), from + min(across * 3, last), along, target, stride, depth, k > 0);
        if (!whole) copyTile(spare, TILE, to, <usize>N << 2, rows, columns);
      }
    }
  }
}

/** `depth` rows of up to eight columns of B, laid end to end in scratch; missing columns are zero. */
function pack(b: usize, stride: usize, depth: i32, columns: i32): void {
  let to = scratch;
  for (let i = 0; i < depth; i++, b += stride, to += TILE) {
    if (columns == 8) { v128.store(to, v128.load(b)); v128.store(to, v128.load(b, 16), 16); continue; }
    v128.store(to, splat(0));
    v128.store(to, splat(0), 16);
    for (let c = 0; c < columns; c++) store<f32>(to + (<usize>c << 2), load<f32>(b + (<usize>c << 2)));
  }
}

function copyTile(from: usize, fromStride: usize, to: usize, toStride: usize, rows: i32, columns: i32): void {
  for (let r: usize = 0; r < <usize>rows; r++) memory.copy(to + r * toStride, from + r * fromStride, <usize>columns << 2);
}

function tile(a0: usize, a1: usize, a2: usize, a3: usize, along: usize, out: usize, stride: usize, depth: i32, adds: bool): void {
  let p0 = splat(0), q0 = p0, p1 = p0, q1 = p0, p2 = p0, q2 = p0, p3 = p0, q3 = p0;
  if (adds) {
    p0 = v128.load(out); q0 = v128.load(out, 16);
    p1 = v128.load(out + stride); q1 = v128.load(out + stride, 16);
    p2 = v128.load(out + stride * 2); q2 = v128.load(out + stride * 2, 16);
    p3 = v128.load(out + stride * 3); q3 = v128.load(out + stride * 3, 16);
  }
  let b = scratch;
  for (let i = 0; i < depth; i++, b += TILE) {
    const v = v128.load(b), w = v128.load(b, 16);
    let x = v128.load32_splat(a0);
    p0 = fma4(p0, x, v); q0 = fma4(q0, x, w);
    x = v128.load32_splat(a1);
    p1 = fma4(p1, x, v); q1 = fma4(q1, x, w);
    x = v128.load32_splat(a2);
    p2 = fma4(p2, x, v); q2 = fma4(q2, x, w);
    x = v128.load32_splat(a3);
    p3 = fma4(p3, x, v); q3 = fma4(q3, x, w);
    a0 += along; a1 += along; a2 += along; a3 += along;
  }
  v128.store(out, p0); v128.store(out, q0, 16);
  v128.store(out + stride, p1); v128.store(out + stride, q1, 16);
  v128.store(out + stride * 2, p2); v128.store(out + stride * 2, q2, 16);
  v128.store(out + stride * 3, p3); v128.store(out + stride * 3, q3, 16);
}
