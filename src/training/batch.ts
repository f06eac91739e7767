// What a batch of sequences is on the device: everything that differs between two steps of training. The
// ops of a step read it and nothing else of the batch, so that a step can be recorded once for all
// batches of as many tokens.

import { fromArray, scope } from '../tensor/index.js';
import type { Device, Tensor } from '../tensor/index.js';
import { rowsOf } from './row_step.js';
import type { Rows } from './row_step.js';

export type Sequences = readonly (readonly number[])[];

/** How many tokens a batch predicts. */
export function predictedTokens(sequences: Sequences): number {
  return sequences.reduce((sum, { length }) => sum + length - 1, 0);
}

const PARTS = ['tokens', 'positions', 'starts', 'targets'] as const;

export class Batch implements Rows<Tensor> {
  readonly tokens: Tensor;
  readonly positions: Tensor;
  readonly starts: Tensor;
  /** The tokens that are to be predicted, row by row. */
  readonly targets: Tensor;
  /** The gradient of the loss, [1]: one. */
  readonly seed: Tensor;

  /** Its tensors live until `dispose`. */
  constructor(private readonly device: Device, sequences: Sequences) {
    const contents = contentsOf(sequences);
    [this.tokens, this.positions, this.starts, this.targets] = scope(() => PARTS.map((part) => fromArray(device, [contents[part].length], contents[part]).retain()));
    this.seed = scope(() => fromArray(device, [1], Float32Array.of(1)).retain());
  }

  /** Rows of the batch: tokens that are predicted. */
  get rows(): number { return this.tokens.shape[0]; }

  /** Other sequences with as many predicted tokens take the place of these. */
  write(sequences: Sequences): void {
    const contents = contentsOf(sequences);
    for (const part of PARTS) this.device.backend.write(this[part].storage.id, 0, new Uint8Array(contents[part].buffer));
  }

  dispose(): void {
    for (const tensor of [this.tokens, this.positions, this.starts, this.targets, this.seed]) tensor.release();
  }
}

/** A sequence's last token is only predicted: nothing sees it, so every row of logits counts. */
function contentsOf(sequences: Sequences): Rows<Int32Array> & { targets: Int32Array } {
  const rows = rowsOf(sequences.map((sequence) => sequence.slice(0, -1)));
  return { ...rows, targets: Int32Array.from(sequences.flatMap((sequence) => sequence.slice(1))) };
}
