// The training loop of the library: batches in, one result per step out.

import type { Model } from '../model.js';
import type { Sequences } from './batch.js';
import { constant } from './schedule.js';
import type { Schedule } from './schedule.js';
import { Trainer } from './trainer.js';
import type { StepResult, TrainerOptions } from './trainer.js';

/** Batches of sequences (token ids, at least two each), one after another, or by number from 0. */
export type Batches = Iterable<Sequences> | AsyncIterable<Sequences> | ((index: number) => Sequences | Promise<Sequences>);

export interface TrainOptions extends TrainerOptions {
  readonly batches: Batches;
  /** Steps to make; without it, as many as there are batches. */
  readonly steps?: number;
  /** Shares of the peak learning rate; constant by default. */
  readonly schedule?: Schedule;
  /** Batches whose gradients make one step; 1 by default. */
  readonly accumulate?: number;
  /** Ends the loop after the step that is running. */
  readonly signal?: AbortSignal;
}

export interface TrainingStep extends StepResult {
  readonly tokensPerSecond: number;
}

/**
 * Trains a model whose weights are float32 in place, and yields each step's figures. Rejects with
 * DivergedError (step and tensor named) when the loss or a gradient stops being finite.
 */
export async function* train(model: Model, options: TrainOptions): AsyncGenerator<TrainingStep, void> {
  const trainer = new Trainer(model, options);
  try {
    yield* trainOn(trainer, options);
  } finally {
    trainer.dispose();
  }
}

/** The same with a trainer that may have made steps before: it goes on with the batch after those. */
export async function* trainOn(trainer: Trainer, { batches, steps = Infinity, schedule = constant(), accumulate = 1, signal }: Omit<TrainOptions, keyof TrainerOptions>): AsyncGenerator<TrainingStep, void> {
  if (!Number.isInteger(accumulate) || accumulate < 1) throw new RangeError(`accumulate must be a whole number of batches, got ${accumulate}`);
  if (steps === Infinity && typeof batches === 'function') throw new RangeError('batches by number have no end: say how many steps to make');
  const next = source(batches, trainer.step * accumulate);
  while (trainer.step < steps && !signal?.aborted) {
    const started = performance.now();
    const group: Sequences[] = [];
    while (group.length < accumulate) {
      const batch = await next();
      if (!batch) break;
      group.push(batch);
    }
    if (group.length === 0) return;
    const result = await trainer.update(group, schedule(trainer.step + 1, steps));
    yield { ...result, tokensPerSecond: result.tokens / ((performance.now() - started) / 1000) };
  }
}

/** Batches one by one, without the first `skip`. */
function source(batches: Batches, skip: number): () => Promise<Sequences | undefined> {
  if (typeof batches === 'function') {
    let index = skip;
    return async () => batches(index++);
  }
  const iterator = Symbol.asyncIterator in batches ? batches[Symbol.asyncIterator]() : batches[Symbol.iterator]();
  let left = skip;
  return async () => {
    for (; left > 0; left--) if ((await iterator.next()).done) return undefined;
    const { done, value } = await iterator.next();
    return done ? undefined : value as Sequences;
  };
}
