// A model with new weights, drawn from a seed alone: the same numbers on every backend.

import { createBackend, Engine } from '../engine/index.js';
import type { BackendName } from '../engine/index.js';
import { seededRandom } from '../generate/index.js';
import { Model } from '../model.js';
import type { Tokenizer } from '../tokenizer/index.js';
import { elementCount, fromArray } from '../tensor/index.js';

export interface InitializeOptions {
  readonly seed?: number;
  readonly backend?: BackendName | 'auto';
  readonly threads?: number;
  readonly contextLength?: number;
  /** What the model's ids stand for. */
  readonly tokenizer?: Tokenizer;
}

/**
 * A model of the architecture that a hub config describes, with float32 weights: matrices normal
 * with deviation 0.02, norms one, biases zero.
 */
export async function initialize(config: Record<string, unknown>, { seed = 0, backend = 'auto', threads, contextLength, tokenizer }: InitializeOptions = {}): Promise<Model> {
  const random = seededRandom(seed);
  const engine = Engine.create(config, await createBackend(backend, { threads }), ({ shape, init }, device) => {
    const count = elementCount(shape);
    return fromArray(device, shape, 'std' in init ? normal(count, init.std, random) : new Float32Array(count).fill(init.constant));
  }, { contextLength });
  return new Model(engine, String(config.model_type), config, undefined, tokenizer);
}

/** Normally distributed numbers by Box and Muller. */
function normal(count: number, deviation: number, random: () => number): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random())) * deviation;
    const angle = 2 * Math.PI * random();
    out[i] = radius * Math.cos(angle);
    if (i + 1 < count) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}
