// How tests compare numbers, and where they take them from. Runs in browsers too.

/** Largest difference, relative to the largest expected magnitude. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) throw new Error(`${got.length} numbers, expected ${want.length}`);
  let [largest, error] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    largest = Math.max(largest, Math.abs(want[i]));
    const difference = Math.abs(got[i] - want[i]);
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
  }
  return error / Math.max(largest, 1e-30);
}

/** Numbers that look random and are the same every time. */
export function noise(count: number, seed = 1): Float32Array {
  let state = seed * 7919 + 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state / 0x7fffffff) * 2 - 1;
  });
}
