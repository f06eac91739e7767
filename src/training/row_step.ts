// A forward pass over whole sequences at once, with nothing kept: attention reads the step's own
// rows. This is the form that gradients flow through, and the oracle for the paged one.

import type { KvCache, KvView, Step } from '../nn/index.js';
import { fromArray } from '../tensor/index.js';
import type { Device, Tensor } from '../tensor/index.js';

export class RowStep implements Step {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly outputRows = null;
  private readonly starts: Tensor;

  /** The tensors made here belong to the caller's scope. */
  constructor(device: Device, sequences: readonly (readonly number[])[]) {
    const [tokens, positions, starts]: number[][] = [[], [], []];
    for (const sequence of sequences) {
      const start = tokens.length;
      sequence.forEach((token, position) => { tokens.push(token); positions.push(position); starts.push(start); });
    }
    const ints = (values: number[]) => fromArray(device, [values.length], Int32Array.from(values));
    this.tokens = ints(tokens);
    this.positions = ints(positions);
    this.starts = ints(starts);
  }

  append(cache: KvCache, { k, v }: { k: Tensor; v?: Tensor }): KvView {
    return { kind: 'rows', k, v: v ?? k, positions: this.positions, starts: this.starts, cache };
  }
}
