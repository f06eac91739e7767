// An op without a kernel, run by its own definition over the module's memory.

import { byteLength, checkBytes, getOp, View } from '../../tensor/index.js';
import type { Heap } from './heap.js';
import { callError } from './poison.js';
import type { Ref, SlotCall } from './task.js';

/** Computes the call's outputs at once, all memory being there; returns why it could not. */
export function runReference({ call, inputs, outputs }: SlotCall, heap: Heap): Error | undefined {
  const view = ({ slot, spec }: Ref): View => {
    checkBytes(spec, slot.bytes);
    return new View(spec, heap.bytes.subarray(slot.address!, slot.address! + byteLength(spec)));
  };
  try {
    getOp(call.op).reference(inputs.map(view), outputs.map(view), call.attrs);
    return undefined;
  } catch (error) {
    return callError(call, error instanceof Error ? error.message : String(error), error);
  }
}
