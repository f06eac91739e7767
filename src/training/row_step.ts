// A forward pass over whole sequences at once, with nothing kept: attention reads the step's own
// rows. This is the form that gradients flow through, and the oracle for the paged one.
// Sequences of any lengths lie end to end: none sees another.

import type { KvCache, KvView, Step } from '../nn/index.js';
import { attentionMax } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';

/** Tokens of sequences laid end to end, [T] int32 each: ids, positions, and the row that holds position 0 of their sequence. */
export interface Rows<T> { readonly tokens: T; readonly positions: T; readonly starts: T }

/** The rows of sequences of any lengths. */
export function rowsOf(sequences: readonly (readonly number[])[]): Rows<Int32Array> {
  const count = sequences.reduce((sum, { length }) => sum + length, 0);
  const [tokens, positions, starts] = [0, 1, 2].map(() => new Int32Array(count));
  let start = 0;
  for (const sequence of sequences) {
    tokens.set(sequence, start);
    for (let i = 0; i < sequence.length; i++) positions[start + i] = i;
    starts.fill(start, start, start + sequence.length);
    start += sequence.length;
  }
  return { tokens, positions, starts };
}

export class RowStep implements Step {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly outputRows = null;
  private readonly starts: Tensor;

  /** `largest`: filled with each attention's largest score per query head [N], where given. */
  constructor({ tokens, positions, starts }: Rows<Tensor>, private readonly largest?: Map<KvCache, Tensor>) {
    this.tokens = tokens;
    this.positions = positions;
    this.starts = starts;
  }

  append(cache: KvCache, { k, v }: { k: Tensor; v?: Tensor }): KvView {
    const { positions, starts, largest } = this;
    const watch = largest && ((q: Tensor, scale: number) => {
      largest.set(cache, attentionMax(q, k, positions, starts, { scale, valueDim: cache.valueDim, ...cache.mask }));
    });
    return { kind: 'rows', k, v: v ?? k, positions, starts, cache, watch };
  }
}
