// The record that runs now, and the share of it that this thread has. Globals are per instance,
// and every thread has its own instance: they are the thread's own.

import { ADDRESS_BYTES, CONTROL_FAILED, CONTROL_REVECTORIZED, WORD_FAILURE, WORD_NUMBERS, WORD_POINTERS, WORD_ROWS, WORD_SPLIT, WORD_UNITS, Split } from '../abi';

export let thread: i32 = 0;
export let threads: i32 = 1;
export let control: usize = 0;
/** Working memory of this thread; nothing survives a record. */
export let scratch: usize = 0;
/** Where this thread keeps values that every thread computes for itself. */
export let arena: usize = 0;

/** This thread's share: rows [rowLo, rowHi) of column units [unitLo, unitHi). */
export let rowLo: i32 = 0;
export let rowHi: i32 = 0;
export let unitLo: i32 = 0;
export let unitHi: i32 = 0;

let record: usize = 0;

export function enter(id: i32, count: i32, controlBlock: usize, scratchBase: usize, arenaBase: usize): void {
  thread = id;
  threads = count;
  control = controlBlock;
  scratch = scratchBase;
  arena = arenaBase;
}

/** Whether the engine makes one instruction of two that lie side by side: as many registers then hold twice as much. */
// @ts-ignore: decorator
@inline export function revectorized(): bool { return load<i32>(control + (CONTROL_REVECTORIZED << 2)) != 0; }

// @ts-ignore: decorator
@inline function share(extent: i32, index: i32): i32 { return <i32>((<i64>extent * index) / threads); }

export function select(at: usize): void {
  record = at;
  const rows = load<i32>(at + (WORD_ROWS << 2)), units = load<i32>(at + (WORD_UNITS << 2)), split = load<i32>(at + (WORD_SPLIT << 2));
  const byRows = split == Split.rows, byUnits = split == Split.units;
  rowLo = byRows ? share(rows, thread) : 0;
  rowHi = byRows ? share(rows, thread + 1) : rows;
  unitLo = byUnits ? share(units, thread) : 0;
  unitHi = byUnits ? share(units, thread + 1) : units;
}

/** Operand `index`'s address for this thread. */
export function pointer(index: i32): usize {
  const p = load<usize>(record + (WORD_POINTERS << 2) + index * ADDRESS_BYTES);
  return p & 1 ? arena + (p ^ 1) : p;
}

/** Number `index` of the record. */
// @ts-ignore: decorator
@inline export function int(index: i32): i32 { return load<i32>(record + ((WORD_NUMBERS + index) << 2)); }
/** A size in bytes, of numbers `index` and the one behind it. */
// @ts-ignore: decorator
@inline export function size(index: i32): usize { return load<usize>(record + ((WORD_NUMBERS + index) << 2)); }
// @ts-ignore: decorator
@inline export function float(index: i32): f32 { return load<f32>(record + ((WORD_NUMBERS + index) << 2)); }

/** Marks the record as failed. Whichever thread fails first says why. */
export function fail(why: i32, number: i32, limit: i32): void {
  const word = record + (WORD_FAILURE << 2);
  if (atomic.cmpxchg<i32>(word, 0, why) == 0) {
    store<i32>(word, number, 4);
    store<i32>(word, limit, 8);
  }
  atomic.store<i32>(control + (CONTROL_FAILED << 2), 1);
}
