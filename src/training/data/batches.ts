// Batches out of packed tokens: windows of equal length in an order that the seed alone decides, each
// cut into the documents it holds, so that none sees another. A batch's number says all: a run can go
// on anywhere.

import { seededRandom } from '../../generate/index.js';
import type { Sequences } from '../batch.js';

export interface BatchOptions {
  /** Tokens per window: all but the first are predicted, so windows share one token with the next. */
  readonly context: number;
  /** Windows per batch. */
  readonly batch: number;
  readonly seed: number;
  /** Share of all windows that is kept for validation: the last ones. */
  readonly validation?: number;
  /** The token between documents. */
  readonly separator: number;
}

export class PackedBatches {
  private readonly windows: number;
  private readonly trained: number;
  private readonly orders = new Map<number, Uint32Array>();

  constructor(private readonly tokens: Uint32Array, private readonly options: BatchOptions) {
    const { context, validation = 0.01 } = options;
    if (context < 2) throw new RangeError(`a window needs at least two tokens, got ${context}`);
    this.windows = Math.floor((tokens.length - 1) / (context - 1));
    const held = validation > 0 ? Math.max(1, Math.round(this.windows * validation)) : 0;
    this.trained = this.windows - held;
    if (this.trained < 1) throw new RangeError(`the data has ${tokens.length} tokens, too few for windows of ${context} and a validation part`);
  }

  /** Windows of the training part. */
  get trainingWindows(): number { return this.trained; }

  /** Batch `index` from 0, over as many passes through the data as it takes. */
  at(index: number): Sequences {
    const { batch } = this.options;
    return Array.from({ length: batch }, (_, i) => {
      const place = index * batch + i;
      return this.window(this.order(Math.floor(place / this.trained))[place % this.trained]);
    }).flat();
  }

  /** Batches of the validation part, in order. */
  *validation(): Generator<Sequences> {
    for (let at = this.trained; at < this.windows; at += this.options.batch) {
      yield Array.from({ length: Math.min(this.options.batch, this.windows - at) }, (_, i) => this.window(at + i)).flat();
    }
  }

  /** A window's documents: a separator between two of them ends the first and begins the second. */
  private window(index: number): number[][] {
    const { context, separator } = this.options;
    const ids = this.tokens.subarray(index * (context - 1), (index + 1) * (context - 1) + 1);
    const sequences: number[][] = [];
    let start = 0;
    for (let i = 1; i < ids.length; i++) {
      if (ids[i] !== separator && i !== ids.length - 1) continue;
      sequences.push([...ids.subarray(start, i + 1)]);
      start = i;
    }
    return sequences;
  }

  /** The order of windows in one pass through the data (Fisher and Yates). */
  private order(pass: number): Uint32Array {
    const known = this.orders.get(pass);
    if (known) return known;
    const order = Uint32Array.from({ length: this.trained }, (_, i) => i);
    const random = seededRandom(Math.imul(this.options.seed + 1, 0x9e3779b1) ^ Math.imul(pass + 1, 0x85ebca6b));
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [order[i], order[j]] = [order[j], order[i]];
    }
    if (this.orders.size > 1) this.orders.clear();
    this.orders.set(pass, order);
    return order;
  }
}
