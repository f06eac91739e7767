// A forward pass over whole sequences at once, with nothing kept: attention reads the step's own
// rows. This is the form that gradients flow through, and the oracle for the paged one.
// Sequences of any lengths lie end to end: none sees another.

import type { KvCache, KvView, Step } from '../nn/index.js';
import { attentionMax, fromArray } from '../tensor/index.js';
import type { Device, Tensor } from '../tensor/index.js';

export class RowStep implements Step {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly outputRows = null;
  private readonly starts: Tensor;

  /**
   * The tensors made here belong to the caller's scope.
   * `largest`: filled with each attention's largest score per query head [N], where given.
   */
  constructor(device: Device, sequences: readonly (readonly number[])[], private readonly largest?: Map<KvCache, Tensor>) {
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
    const { positions, starts, largest } = this;
    const watch = largest && ((q: Tensor, scale: number) => {
      largest.set(cache, attentionMax(q, k, positions, starts, { scale, valueDim: cache.valueDim, ...cache.mask }));
    });
    return { kind: 'rows', k, v: v ?? k, positions, starts, cache, watch };
  }
}
