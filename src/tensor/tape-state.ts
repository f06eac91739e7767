// The tape that is recording now, if any. Apart from tape.ts so that tensor.ts need not import it.

import type { Attrs } from './backend.js';
import type { Op } from './op.js';
import type { Tensor } from './tensor.js';

export interface Recorder {
  record(op: Op, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: Attrs): void;
  recordReshape(input: Tensor, output: Tensor): void;
  recordSegment(inputs: readonly Tensor[], outputs: readonly Tensor[], body: () => Tensor[]): void;
}

let active: Recorder | undefined;

export function activeTape(): Recorder | undefined {
  return active;
}

export function withTape<T>(tape: Recorder | undefined, body: () => T): T {
  const outer = active;
  active = tape;
  try {
    return body();
  } finally {
    active = outer;
  }
}

export function withoutTape<T>(body: () => T): T {
  return withTape(undefined, body);
}
