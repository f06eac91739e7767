// Matrices of block formats are interleaved by four rows before their first product (kernels/blocks.ts,
// quantized.ts), in place, and put back as stored before anyone writes to them or reads them back.

import { BLOCKS, elementCount, isBlockType } from '../../tensor/index.js';
import type { Spec } from '../../tensor/index.js';
import { Kernel } from './abi.js';
import { copyTask } from './lower/rows.js';
import { lowerings } from './lower/index.js';
import { blockFormat } from './lower/matrices.js';
import { byColumns, written } from './task.js';
import type { Packing, Ref, Slot, SlotCall, Task } from './task.js';

/** What a call wants of its matrix; undefined where it does not matter. */
export interface Wish { readonly slot: Slot; readonly packing: Packing; readonly pack: boolean }

export function wishOf({ call, inputs }: SlotCall): Wish | undefined {
  const matrix = lowerings.get(call.op)?.matrix;
  if (!matrix) return undefined;
  const { slot, spec } = inputs[matrix.input];
  // What is fetched is packed on its way.
  if (!isBlockType(spec.dtype) || slot.streamed) return undefined;
  return { slot, packing: { dtype: spec.dtype, rows: spec.shape.at(-2) ?? 1, columns: spec.shape.at(-1)! }, pack: matrix.as === 'packed' };
}

export function samePacking(a: Packing | undefined, b: Packing | undefined): boolean {
  return a?.dtype === b?.dtype && a?.rows === b?.rows && a?.columns === b?.columns;
}

/** Tasks that bring a matrix from its present layout to `packing` (undefined: as stored). Marks the slot. */
export function relayout(slot: Slot, packing: Packing | undefined): Task[] {
  const { packed } = slot;
  if (samePacking(packed, packing)) return [];
  slot.packed = packing;
  return [...(packed ? [permutation(Kernel.unpack, slot, slot, packed)] : []), ...(packing ? [permutation(Kernel.pack, slot, slot, packing)] : [])];
}

/** Tasks that write a packed matrix, as stored, into another buffer. */
export function unpackInto(from: Slot, packing: Packing, to: Slot): Task[] {
  const bytes: Spec = { shape: [from.bytes], dtype: 'f8_e4m3' };
  // Rows behind the last group of four are not interleaved: copied with everything else.
  return [copyTask({ slot: from, spec: bytes }, { slot: to, spec: bytes }, from.bytes), permutation(Kernel.unpack, from, to, packing)];
}

/** Packs a matrix that lies at `address`. */
export function packTask(packing: Packing, address: number): Task {
  const { values, bytes } = BLOCKS[packing.dtype];
  const slot: Slot = { bytes: (packing.rows * packing.columns / values) * bytes, address };
  return permutation(Kernel.pack, slot, slot, packing);
}

function permutation(kernel: Kernel, from: Slot, to: Slot, { dtype, rows, columns }: Packing): Task {
  const { values, bytes } = BLOCKS[dtype];
  const blocks = columns / values;
  const matrices = Math.floor(from.bytes / (rows * blocks * bytes));
  const groups = Math.floor(rows / 4);
  const ref = (slot: Slot): Ref => ({ slot, spec: { shape: [slot.bytes], dtype: 'f8_e4m3' } });
  const total = matrices * groups;
  return {
    kernel, rows: 1, columns: total, grain: 1, work: elementCount([matrices, rows, columns]), scratch: blocks * bytes * 4,
    operands: [byColumns(ref(from), 1, total), written(byColumns(ref(to), 1, total))], numbers: [blocks, rows, groups, blockFormat(dtype)],
  };
}
