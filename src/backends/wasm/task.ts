// A task is one record before it is known which thread does what and where its operands lie:
// a kernel, its operands, its numbers, and the ways in which threads can share it.

import type { BlockType, Call, Spec } from '../../tensor/index.js';
import type { Kernel } from './abi.js';
import type { StreamedMatrix } from './part-cache.js';

/** A buffer: how large, where (once it is needed), and how its bytes are arranged. */
export interface Slot {
  readonly bytes: number;
  address?: number;
  /** A matrix of a block format whose rows were interleaved by four (kernels/blocks.ts): what it is. */
  packed?: Packing;
  /** Its contents lie elsewhere: it never has an address of its own. */
  readonly streamed?: StreamedMatrix;
  poison?: Error;
}

export interface Packing { readonly dtype: BlockType; readonly rows: number; readonly columns: number }

export interface Ref { readonly slot: Slot; readonly spec: Spec }

/** A call whose operands are slots. */
export interface SlotCall { readonly call: Call; readonly inputs: readonly Ref[]; readonly outputs: readonly Ref[] }

export interface TaskOperand {
  /** Undefined: the kernel gets address 0. */
  readonly slot: Slot | undefined;
  readonly writes: boolean;
  /** A thread that has some of the task's rows touches the same part of the operand's. */
  readonly byRows: boolean;
  /**
   * A thread that has some of the task's columns touches the same part of each of `rows` rows of
   * `columns`, provided that its part is whole multiples of `grain` columns.
   */
  readonly grid?: { readonly rows: number; readonly columns: number; readonly grain: number };
}

export interface Task {
  readonly kernel: Kernel;
  readonly operands: readonly TaskOperand[];
  readonly numbers: readonly number[];
  /** Threads may share out this many rows; 1: they cannot. */
  readonly rows: number;
  /** Or columns, in units of a multiple of `grain` columns; `columns` = `grain`: they cannot. */
  readonly columns: number;
  readonly grain: number;
  /** Columns of a unit unless something else is better; `grain` by default. */
  readonly width?: number;
  /** Into how many units this task would like its columns divided. */
  readonly units?: number;
  /** Which number tells the kernel its unit's width, counted in so many columns. */
  readonly widthAt?: readonly [index: number, columns: number];
  /** Roughly how many multiplications: small tasks are done by every thread rather than waited for. */
  readonly work: number;
  /** Bytes of working memory that a thread needs. */
  readonly scratch?: number;
  /** A matrix that must be fetched first, which operand it is, and the chosen parts of a stack. */
  readonly streams?: { readonly matrix: StreamedMatrix; readonly pointer: number; readonly indices?: { readonly slot: Slot; readonly count: number } };
}

// How an operand follows a task's division.
export const whole = (ref: Ref | undefined): TaskOperand => ({ slot: ref?.slot, writes: false, byRows: false });
export const byRows = (ref: Ref): TaskOperand => ({ slot: ref.slot, writes: false, byRows: true });
export const byColumns = (ref: Ref, rows: number, columns: number, grain = 1): TaskOperand => ({ slot: ref.slot, writes: false, byRows: false, grid: { rows, columns, grain } });
export const byBoth = (ref: Ref, rows: number, columns: number): TaskOperand => ({ slot: ref.slot, writes: false, byRows: true, grid: { rows, columns, grain: 1 } });
export const written = (operand: TaskOperand): TaskOperand => ({ ...operand, writes: true });

const bits = new DataView(new ArrayBuffer(4));

/** A float32's bits, as records hold it. */
export function float(value: number): number {
  bits.setFloat32(0, value);
  return bits.getInt32(0);
}

/** A size in bytes or an address, as memory holds it: the lower 32 bits, then the upper. */
export function halves(size: number): [low: number, high: number] {
  return [size % 2 ** 32, Math.floor(size / 2 ** 32)];
}

export function lastAxis(spec: Spec): number {
  return spec.shape.at(-1) ?? 1;
}
