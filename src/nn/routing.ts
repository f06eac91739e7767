// What a router decided, for whoever trains it: load balancing needs the scores of all experts and
// which were chosen. A family reports; nothing is computed unless someone listens.

import type { Tensor } from '../tensor/index.js';
import type { Parameter } from './module.js';

export interface Routing {
  /** Affinity of each token to each expert [T, E], not below zero. */
  readonly scores: Tensor;
  /** Experts chosen for each token [T, k]. */
  readonly indices: Tensor;
  /** Added to the scores for choosing only (DeepSeek's loss-free balancing). */
  readonly bias?: Parameter;
}

let listener: ((routing: Routing) => void) | undefined;

/** Calls `see` with every routing decision made inside `body`. */
export function observeRouting<T>(see: (routing: Routing) => void, body: () => T): T {
  const outer = listener;
  listener = see;
  try {
    return body();
  } finally {
    listener = outer;
  }
}

/** Reports a decision; `describe` runs only when someone listens. */
export function reportRouting(describe: () => Routing): void {
  listener?.(describe());
}
