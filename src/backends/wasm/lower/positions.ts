// rope and temperature: see kernels/positions.ts. The angles of a step depend on positions and
// frequencies alone: one table of cosines and sines serves the queries and keys of every layer.

import { elementCount } from '../../../tensor/index.js';
import { Kernel } from '../abi.js';
import { byBoth, byRows, float, whole, written } from '../task.js';
import type { Ref, SlotCall, Task } from '../task.js';
import type { LowerContext, Lowering } from './lowering.js';

interface RopeAttrs { layout: 'half' | 'interleaved'; amplitude: number; inverse?: boolean }

const rope: Lowering = {
  supports: ([x, positions, frequencies]) => x.dtype === 'f32' && positions.dtype === 'i32' && frequencies.dtype === 'f32',
  lower(call: SlotCall, context: LowerContext): Task[] {
    const { call: { attrs }, inputs: [x, positions, frequencies], outputs: [out] } = call;
    const [T, N, H] = x.spec.shape;
    const F = elementCount(frequencies.spec.shape);
    const { tasks, table } = tableFor(positions, frequencies, attrs as unknown as RopeAttrs, T, F, context);
    return [...tasks, {
      kernel: Kernel.rope, rows: T, columns: N * H, grain: H, widthAt: [4, H], work: T * N * H * 2,
      operands: [byBoth(x, T, N * H), byRows(table), written(byBoth(out, T, N * H))],
      numbers: [N, H, F, Number((attrs as unknown as RopeAttrs).layout === 'interleaved'), 0],
    }];
  },
};

/** The table of these angles, and the task that makes it unless the list has one already. */
function tableFor(positions: Ref, frequencies: Ref, { amplitude, inverse = false }: RopeAttrs, T: number, F: number, context: LowerContext): { tasks: Task[]; table: Ref } {
  const key = `angles ${amplitude} ${inverse} ${F}`;
  const spec = { shape: [T, 2 * F], dtype: 'f32' } as const;
  const known = context.derived.get(key)?.find(({ sources: [a, b] }) => a === positions.slot && b === frequencies.slot);
  if (known) return { tasks: [], table: { slot: known.table, spec } };
  const table = { slot: context.temporary(T * F * 8), spec };
  context.derived.set(key, [...(context.derived.get(key) ?? []), { sources: [positions.slot, frequencies.slot], table: table.slot }]);
  const make: Task = {
    kernel: Kernel.rope_table, rows: T, columns: 2 * F, grain: 2 * F, work: T * F * 30,
    operands: [byRows(positions), whole(frequencies), written(byRows(table))],
    numbers: [F, float(amplitude), float(inverse ? -1 : 1)],
  };
  return { tasks: [make], table };
}

const temperature: Lowering = {
  supports: ([x, positions]) => x.dtype === 'f32' && positions.dtype === 'i32',
  lower({ call, inputs: [x, positions], outputs: [out] }) {
    const { floorScale, strength } = call.attrs as { floorScale: number; strength: number };
    const [T] = positions.spec.shape;
    const columns = elementCount(x.spec.shape) / T;
    return [{
      kernel: Kernel.temperature, rows: T, columns, grain: 1, width: 16, widthAt: [1, 1], work: T * columns,
      operands: [byBoth(x, T, columns), byRows(positions), written(byBoth(out, T, columns))],
      numbers: [columns, 0, float(floorScale), float(strength)],
    }];
  },
};

export const positions = { rope, temperature };
