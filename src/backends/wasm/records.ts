// Writes scheduled tasks as the records that kernels/index.ts interprets.

import { ADDRESS_BYTES, RECORD_BYTES, WORD_BARRIER, WORD_KERNEL, WORD_NUMBERS, WORD_POINTERS, WORD_ROWS, WORD_SPLIT, WORD_UNITS } from './abi.js';
import type { Placed, Schedule } from './schedule.js';
import type { Slot } from './task.js';

/**
 * Fills `words`, a record's worth per task. Buffers that threads keep copies of lie at `offsets`
 * in a thread's own memory; all others have addresses.
 */
export function encode({ placed }: Schedule, words: Int32Array, offsets: ReadonlyMap<Slot, number>): void {
  words.fill(0);
  const place = (slot: Slot): number => {
    const offset = offsets.get(slot);
    // Odd: relative to the thread's own memory.
    if (offset !== undefined) return offset + 1;
    if (slot.address === undefined) throw new Error('a buffer of a plan was given no memory');
    return slot.address;
  };
  placed.forEach((item, i) => encodeOne(item, words.subarray((i * RECORD_BYTES) / 4, ((i + 1) * RECORD_BYTES) / 4), place));
}

/** Writes an address `at` bytes from the beginning of `words`. */
export function setAddress(words: Int32Array, at: number, address: number): void {
  // An element keeps the lower 32 bits of what it is given.
  words[at / 4] = address;
  words[at / 4 + 1] = address / 2 ** 32;
}

function encodeOne({ task, split, width, barrier }: Placed, words: Int32Array, place: (slot: Slot) => number): void {
  words[WORD_KERNEL] = task.kernel;
  words[WORD_BARRIER] = Number(barrier);
  words[WORD_SPLIT] = split;
  words[WORD_ROWS] = task.rows;
  words[WORD_UNITS] = Math.ceil(task.columns / width);
  task.operands.forEach(({ slot }, i) => { setAddress(words, WORD_POINTERS * 4 + i * ADDRESS_BYTES, slot ? place(slot) : 0); });
  task.numbers.forEach((value, i) => { words[WORD_NUMBERS + i] = value; });
  if (task.widthAt) words[WORD_NUMBERS + task.widthAt[0]] = width / task.widthAt[1];
}
