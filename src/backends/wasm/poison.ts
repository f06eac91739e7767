// Failures travel from a call to whatever is computed from it.

import { getOp } from '../../tensor/index.js';
import type { Call } from '../../tensor/index.js';
import type { SlotCall } from './task.js';

export function callError({ op, path }: Call, reason: string, cause?: unknown): Error {
  return new Error(`${op}${path ? ` at ${path}` : ''} failed on wasm: ${reason}`, { cause });
}

/** The message of whatever was thrown; figures that name the backend themselves come without its name. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/^wasm: /, '');
}

/** Why nothing can be trusted that was to run together; `at`: the call that ended it, if one did. */
export function brokenError(reason: string, at: SlotCall | undefined): Error {
  return at ? callError(at.call, reason) : new Error(`wasm: ${reason}`);
}

/** After a call ran: its outputs are sound, or poisoned by `failure` or by an input. */
export function settleCall({ call, inputs, outputs }: SlotCall, failure: Error | undefined): void {
  const poison = inputs.find(({ slot }) => slot.poison)?.slot.poison ?? failure;
  for (const { slot } of outputs) slot.poison = poison;
  if (poison && getOp(call.op).effect) for (const { slot } of inputs) slot.poison ??= poison;
}
