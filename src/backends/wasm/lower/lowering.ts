// How an op becomes tasks: what each entry of this folder is.

import type { Attrs, Spec } from '../../../tensor/index.js';
import type { Slot, SlotCall, Task } from '../task.js';

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
