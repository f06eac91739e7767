// A forward pass over whole sequences at once, with nothing kept: attention reads the step's own
// rows. This is the form that gradients flow through, and the oracle for the paged one.
// Sequences of any lengths lie end to end: none sees another.

import { observeRouting, reportRouting } from '../nn/index.js';
import type { KvCache, KvView, Routing, Step } from '../nn/index.js';
import { attentionMax, recomputed } from '../tensor/index.js';
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

export interface RowStepOptions {
  /** Filled with each attention's largest score per query head [N]. */
  readonly largest?: Map<KvCache, Tensor>;
  /** Keeps only what goes into each layer and comes out; the way back computes the rest again. */
  readonly recompute?: boolean;
}

export class RowStep implements Step {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly outputRows = null;
  private readonly starts: Tensor;

  constructor(private readonly rows: Rows<Tensor>, private readonly options: RowStepOptions = {}) {
    const { tokens, positions, starts } = rows;
    this.tokens = tokens;
    this.positions = positions;
    this.starts = starts;
  }

  /** What a layer reports beside its result (routing, largest scores) comes from its first run. */
  layer(layer: (x: Tensor, step: Step) => Tensor, x: Tensor): Tensor {
    if (!this.options.recompute) return layer(x, this);
    const largest = this.options.largest && new Map<KvCache, Tensor>();
    const routings: Routing[] = [];
    let first = true;
    const [y] = recomputed([x], () => {
      const seen: Routing[] = [];
      const step = new RowStep(this.rows, first ? { largest } : {});
      const result = observeRouting((routing) => seen.push(routing), () => layer(x, step));
      if (first) routings.push(...seen);
      const reported = first ? [...(largest?.values() ?? [])] : [];
      first = false;
      return [result, ...seen.flatMap(({ scores, indices }) => [scores, indices]), ...reported];
    });
    for (const routing of routings) reportRouting(() => routing);
    for (const [cache, scores] of largest ?? []) this.options.largest!.set(cache, scores);
    return y;
  }

  append(cache: KvCache, { k, v }: { k: Tensor; v?: Tensor }): KvView {
    const { positions, starts, options: { largest } } = this;
    const watch = largest && ((q: Tensor, scale: number) => {
      largest.set(cache, attentionMax(q, k, positions, starts, { scale, valueDim: cache.valueDim, ...cache.mask }));
    });
    return { kind: 'rows', k, v: v ?? k, positions, starts, cache, watch };
  }
}
