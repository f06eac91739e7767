// linear, expert_linear, head_linear over stored matrices: see kernels/linear.ts and rows.ts.

import { elementCount, isBlockType, scaleOffset } from '../../../tensor/index.js';
import type { BlockType, Spec } from '../../../tensor/index.js';
import { ADDRESS_BYTES, DECODED_BYTES, Format, Kernel, LEAST_PANEL, PACKED, PAIR_BYTES, PANEL_BYTES, PANEL_ROWS, PANEL_TABLES, QUANTIZED_BYTES } from '../abi.js';
import { byBoth, byRows, halves, whole, written } from '../task.js';
import type { Ref, Task, TaskOperand } from '../task.js';
import type { LowerContext, Lowering } from './lowering.js';

const FORMATS = { f32: Format.f32, f16: Format.f16, bf16: Format.bf16, f8_e4m3: Format.f8, q8_0: Format.q8, q4_0: Format.q4, q4_k: Format.q4k, q6_k: Format.q6k } as const;

type Scales = readonly [low: number, high: number, rows: number, columns: number];

/** A matrix's format, and where FP8 scales lie: scale offset in two words, rows and columns of a scale's block. */
export function formatOf({ slot, spec }: Ref): { format: Format; scales: Scales } {
  if (spec.dtype === 'i32') throw new TypeError('a matrix of i32 is no weight');
  const format = FORMATS[spec.dtype] + (slot.packed ? PACKED : 0);
  return { format, scales: spec.scaleBlock ? [...halves(scaleOffset(spec)), ...spec.scaleBlock] : [0, 0, 0, 0] };
}

/** How a record names its matrix: where it lies, or which one is to be fetched first. */
function weight(ref: Ref, pointer: number): { operand: TaskOperand; spec: Spec; format: Format; scales: Scales; streams: Task['streams'] } {
  const { streamed } = ref.slot;
  if (!streamed) return { operand: whole(ref), spec: ref.spec, ...formatOf(ref), streams: undefined };
  return { operand: whole(undefined), spec: streamed.part, ...formatOf({ ...ref, spec: streamed.part }), streams: { matrix: streamed, pointer } };
}

/** A block format as it is stored. */
export const blockFormat = (dtype: BlockType): Format => FORMATS[dtype];

/** Whether kernels read this as a matrix. */
export const stored = ({ dtype }: Spec): boolean => dtype in FORMATS;

/** Working memory of `multiply` for panels of up to `rows` activation rows. */
function panelBytes(spec: Spec, inputs: number, rows: number): number {
  const tiles = Math.ceil(Math.min(rows, PANEL_ROWS) / 4);
  const rounded = Math.min(tiles * inputs * QUANTIZED_BYTES, Math.max(PANEL_BYTES, (LEAST_PANEL / 4) * inputs * QUANTIZED_BYTES));
  const decoded = 4 * 4 * (inputs + 4);
  if (!isBlockType(spec.dtype)) return PANEL_TABLES + decoded;
  // Activations as int16, scales and sums; two groups of decoded rows, or two pairs and the sums of a tile's rows.
  return PANEL_TABLES + Math.max(decoded, rounded + (inputs / 32) * 2 * Math.max(DECODED_BYTES, PAIR_BYTES) + 256);
}

/** Rows that `linear` multiplies with a block format, rounded and laid out for it once, and the task that does it unless the list has them already. */
function quantized(x: Ref, { dtype }: Spec, T: number, I: number, context: LowerContext): { tasks: Task[]; rows: Ref | undefined } {
  if (T === 1 || !isBlockType(dtype)) return { tasks: [], rows: undefined };
  const tiles = Math.ceil(T / 4);
  const spec = { shape: [tiles * QUANTIZED_BYTES * I], dtype: 'f8_e4m3' } as const;
  const key = `quantized for ${dtype}, ${T} x ${I}`;
  const known = context.derived.get(key) ?? [];
  const made = known.find(({ sources: [source] }) => source === x.slot);
  if (made) return { tasks: [], rows: { slot: made.table, spec } };
  const rows: Ref = { slot: context.temporary(spec.shape[0]), spec };
  context.derived.set(key, [...known, { sources: [x.slot], table: rows.slot }]);
  const task: Task = {
    kernel: Kernel.quantize, rows: tiles, columns: I, grain: I, work: T * I * 4,
    operands: [whole(x), written(byRows(rows))], numbers: [T, I, FORMATS[dtype]],
  };
  return { tasks: [task], rows };
}

const linear: Lowering = {
  matrix: { input: 1, as: 'packed' },
  supports: ([x, w, b]) => x.dtype === 'f32' && stored(w) && (b === undefined || b.dtype === 'f32'),
  lower({ inputs: [x, w, b], outputs: [y] }, context) {
    const [O, I] = w.spec.shape;
    const T = elementCount(x.spec.shape) / I;
    const { operand, format, scales, streams } = weight(w, 1);
    const { tasks, rows } = quantized(x, w.spec, T, I, context);
    return [...tasks, {
      kernel: Kernel.linear, rows: 1, columns: O, grain: 4, widthAt: [4, 1], work: T * O * I, scratch: panelBytes(w.spec, I, T), streams,
      operands: [whole(x), operand, written(byBoth(y, T, O)), whole(b), whole(rows)],
      numbers: [T, I, O, format, 0, ...scales, O],
    }];
  },
};

const expertLinear: Lowering = {
  matrix: { input: 1, as: 'packed' },
  supports: ([x, w, indices]) => x.dtype === 'f32' && stored(w) && indices.dtype === 'i32',
  lower({ inputs: [x, w, indices], outputs: [y] }) {
    const [E, O, I] = w.spec.shape;
    const [T, k] = indices.spec.shape;
    const { operand, format, scales, streams } = weight(w, 1);
    const table = streams && whole({ slot: { bytes: ADDRESS_BYTES * E, address: streams.matrix.table }, spec: { shape: [ADDRESS_BYTES * E], dtype: 'f8_e4m3' } });
    return [{
      kernel: Kernel.expert_linear, rows: 1, columns: O, grain: 4, widthAt: [4, 1], work: T * k * O * I, scratch: panelBytes(w.spec, I, T * k),
      streams: streams && { ...streams, indices: { slot: indices.slot, count: T * k } },
      operands: [whole(x), operand, whole(indices), written(byBoth(y, T * k, O)), ...(table ? [table] : [])],
      numbers: [T, I, O, format, 0, ...scales, O, E, k, Number(x.spec.shape.length === 3)],
    }];
  },
};

const headLinear: Lowering = {
  matrix: { input: 1, as: 'readable' },
  supports: ([x, w]) => x.dtype === 'f32' && stored(w),
  lower({ call, inputs: [x, w], outputs: [y] }) {
    const { start, rows, transposed } = call.attrs as { start: number; rows: number; transposed: boolean };
    const [T, N, inputs] = x.spec.shape;
    const outputs = y.spec.shape[2];
    const [matrixRows, columns] = w.spec.shape;
    const { operand, format, scales, streams } = weight(w, 1);
    return [{
      kernel: Kernel.head_linear, rows: 1, columns: N * outputs, grain: outputs, units: N, widthAt: [13, outputs], work: T * N * rows * columns, scratch: columns * 4, streams,
      operands: [byBoth(x, T, N * inputs), operand, written(byBoth(y, T, N * outputs))],
      numbers: [T, N, columns, matrixRows / N, start, rows, Number(transposed), format, ...scales, matrixRows, 0],
    }];
  },
};

export const matrices = { linear, expert_linear: expertLinear, head_linear: headLinear };
