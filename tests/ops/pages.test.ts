// The two ops that write into a buffer their caller owns: kv_append and copy.

import { expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { copyInto, Device, fromArray, kvAppend } from '../../src/tensor/index.js';
import { noise } from '../support.js';

const on = new Device(new ReferenceBackend());
const ints = (shape: number[], values: number[]) => fromArray(on, shape, Int32Array.from(values));

it('kv_append writes rows to their pages and skips padding', async () => {
  const store = fromArray(on, [2, 1, 64, 2], new Float32Array(256));
  const rows = fromArray(on, [3, 1, 2], Float32Array.of(1, 2, 3, 4, 5, 6));
  kvAppend(store, rows, ints([3], [65, 0, 1]), ints([3], [0, -1, 0]), ints([1, 2], [1, 0]));
  const got = await store.toFloat32();
  expect([...got.slice(2, 4)]).toEqual([1, 2]);          // position 65: page 0, row 1
  expect([...got.slice(130, 132)]).toEqual([5, 6]);      // position 1: page 1, row 1
  expect(got.reduce((a, b) => a + b, 0)).toBe(14);       // and nothing else
});

it('kv_append to a page that is not there poisons the store', async () => {
  const store = fromArray(on, [1, 1, 64, 1], new Float32Array(64));
  kvAppend(store, fromArray(on, [1, 1, 1], Float32Array.of(1)), ints([1], [64]), ints([1], [0]), ints([1, 2], [0, -1]));
  await expect(store.toFloat32()).rejects.toThrow('no page for position 64 of slot 0');
});

it('copy fills the head of a larger buffer', async () => {
  const [to, from] = [fromArray(on, [2, 3], new Float32Array(6).fill(9)), fromArray(on, [1, 3], noise(3))];
  copyInto(to, from);
  expect([...await to.toFloat32()]).toEqual([...noise(3), 9, 9, 9]);
});
