// Rearranged tensors: whatever range is read, the bytes are those of the whole.

import { describe, expect, it } from 'vitest';
import { encodeFloat32 } from '../../src/checkpoint/encode.js';
import { asStored, entry, floatsOf, joinedRows, matrixSlice, permuted, reshaped, shifted, stacked, transposed } from '../../src/checkpoint/gguf/rows.js';
import type { Rows } from '../../src/checkpoint/gguf/rows.js';
import { random } from './gguf-files.js';

/** Rows that hold 0, 1, 2, … plus `from`. */
function counting(shape: number[], from = 0): Rows {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => from + i);
  const columns = shape.at(-1)!;
  return { shape, dtype: 'F32', read: async (first, count) => encodeFloat32('f32', values.subarray(first * columns, (first + count) * columns)) };
}

/** Rows of Q8_0 whose every block is scaled so that it is exact. */
function blocks(shape: number[]): Rows {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => (i % 32 === 0 ? 127 : (i * 7) % 100));
  const columns = shape.at(-1)!;
  return { shape, dtype: 'Q8_0', read: async (first, count) => encodeFloat32('q8_0', values.subarray(first * columns, (first + count) * columns)) };
}

const cases: Record<string, Rows> = {
  permuted: permuted(counting([12, 3]), 4, (row) => (row % 2) * 2 + Math.floor(row / 2)),
  'permuted blocks': permuted(blocks([8, 64]), 4, (row) => 3 - row),
  transposed: transposed(counting([2, 3, 5])),
  'transposed blocks': transposed(blocks([4, 32])),
  stacked: stacked([counting([3, 2]), counting([3, 2], 100), counting([3, 2], 200)]),
  'stacked of two types': stacked([blocks([2, 32]), counting([2, 32])]),
  joined: joinedRows(counting([3, 2, 4]), counting([3, 5, 4], 1000)),
  'a slice of every matrix': matrixSlice(counting([3, 5, 2]), 1, 3),
  shifted: shifted(counting([7]), -1),
  'an entry': entry(counting([4, 3, 2]), 2),
  reshaped: reshaped(counting([3, 4, 2]), [12, 2]),
};

describe('rearranged rows', () => {
  it.each(Object.keys(cases))('%s: every range is a part of the whole', async (name) => {
    const tensor = asStored(name, 'x.gguf', cases[name], (dtype) => dtype === 'F32' || dtype === 'Q8_0');
    const whole = await tensor.read();
    expect(whole.length).toBe(tensor.byteLength);
    const next = random(5);
    for (let i = 0; i < 200; i++) {
      const offset = next(whole.length + 1);
      const length = next(whole.length + 1 - offset);
      expect(await tensor.readRange(offset, length)).toEqual(whole.slice(offset, offset + length));
    }
    await expect(tensor.readRange(whole.length, 1)).rejects.toThrow(`x.gguf: cannot read 1 bytes at ${whole.length}`);
  });

  const numbers = async (rows: Rows) => Array.from(floatsOf(await rows.read(0, rows.shape.slice(0, -1).reduce((a, b) => a * b, 1))));

  it('are in the order that their names say', async () => {
    expect(await numbers(permuted(counting([4, 1]), 4, (row) => (row % 2) * 2 + Math.floor(row / 2)))).toEqual([0, 2, 1, 3]);
    expect(await numbers(transposed(counting([2, 2, 3])))).toEqual([0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    expect(await numbers(joinedRows(counting([2, 1, 2]), counting([2, 2, 2], 10)))).toEqual([0, 1, 10, 11, 12, 13, 2, 3, 14, 15, 16, 17]);
    expect(await numbers(matrixSlice(counting([2, 3, 1]), 1, 2))).toEqual([1, 2, 4, 5]);
    expect(await numbers(entry(counting([3, 2, 1]), 1))).toEqual([2, 3]);
    expect(await numbers(shifted(counting([3]), 1))).toEqual([1, 2, 3]);
  });

  it('keep blocks where rows stay whole and are float32 where they do not', () => {
    expect([cases['permuted blocks'].dtype, cases['transposed blocks'].dtype, cases['stacked of two types'].dtype]).toEqual(['Q8_0', 'F32', 'F32']);
  });

  it('are refused where shapes do not fit together', () => {
    expect(() => joinedRows(counting([2, 3, 4]), counting([2, 3, 8]))).toThrow('[2, 3, 4] and [2, 3, 8] cannot be joined');
    expect(() => joinedRows(counting([4]), counting([4]))).toThrow('cannot be joined');
    expect(() => stacked([counting([3, 2]), counting([2, 3])])).toThrow('[3, 2] and [2, 3] cannot be stacked');
    expect(() => reshaped(counting([3, 4]), [4, 3])).toThrow('cannot be taken as [4, 3]');
  });
});
