// A whole step of training as a plan: forward, back, clipping and every update recorded once, and
// replayed for batches of as many tokens. What differs between steps lies in tensors: the batch, and
// what the optimiser writes in `begin`.

import type { Device, Plan } from '../tensor/index.js';
import { Batch } from './batch.js';
import type { Sequences } from './batch.js';
import { reportedTensors } from './differentiate.js';
import type { Reported } from './differentiate.js';

export class RecordedStep {
  /** `reported`: what each replay leaves to be read. */
  private constructor(private readonly batch: Batch, private readonly plan: Plan, readonly reported: Reported) {}

  /** Records what `body` does with a batch of this shape; what it returns must outlive its scopes. */
  static record(device: Device, sequences: Sequences, body: (batch: Batch) => Reported): RecordedStep {
    const batch = new Batch(device, sequences);
    const { result: reported, capture } = device.capture(() => body(batch));
    const kept = reportedTensors(reported);
    try {
      return new RecordedStep(batch, device.backend.record(capture.calls, kept.map(({ storage }) => storage.id)), reported);
    } catch (error) {
      for (const tensor of kept) tensor.release();
      batch.dispose();
      throw error;
    }
  }

  get rows(): number { return this.batch.rows; }

  replay(sequences: Sequences): void {
    this.batch.write(sequences);
    this.plan.replay();
  }

  dispose(): void {
    this.plan.dispose();
    this.batch.dispose();
    for (const tensor of reportedTensors(this.reported)) tensor.release();
  }
}
