// From ops to tasks: one entry per op that has kernels here.

import type { Attrs, Spec } from '../../../tensor/index.js';
import type { Slot, SlotCall, Task } from '../task.js';
import { attention } from './attention.js';
import { gradients } from './gradients.js';
import { matrices } from './matrices.js';
import { norms } from './norms.js';
import { pointwise } from './pointwise.js';
import { positions } from './positions.js';
import { routing } from './routing.js';
import { rowAttention } from './row_attention.js';
import { rows } from './rows.js';

/** What lowering may ask for beside the call itself. */
export interface LowerContext {
  readonly threads: number;
  /** A buffer that lives as long as this list of tasks. */
  temporary(bytes: number): Slot;
  /** What the list has made already of operands alone (tables of angles, rounded activations), by what and of what it is made. */
  readonly derived: Map<string, readonly { readonly sources: readonly Slot[]; readonly table: Slot }[]>;
}

export interface Lowering {
  /** Whether these operands can be had; what `inputs` must be is checked by `ok`. */
  supports(inputs: readonly Spec[], attrs: Attrs): boolean;
  lower(call: SlotCall, context: LowerContext): Task[];
  /** Which input is a stored matrix: `packed`, it is repacked before first use; `readable`, it is taken as it lies. */
  readonly matrix?: { readonly input: number; readonly as: 'packed' | 'readable' };
}

export const lowerings: ReadonlyMap<string, Lowering> = new Map(
  [pointwise, norms, matrices, rows, routing, positions, attention, gradients, rowAttention].flatMap((group) => Object.entries<Lowering>(group)),
);
