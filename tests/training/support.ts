// Small models and batches for tests of training.

import { expect } from 'vitest';
import type { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import type { BackendName } from '../../src/engine/index.js';
import { seededRandom } from '../../src/generate/index.js';
import { adamw, initialize, Trainer } from '../../src/training/index.js';
import type { StepResult, TrainerOptions, Updates } from '../../src/training/index.js';

/** A dense model of two layers and 64 tokens. */
export const tinyConfig = {
  model_type: 'llama', vocab_size: 64, hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2,
  max_position_embeddings: 64, rms_norm_eps: 1e-5, tie_word_embeddings: true,
};

/** Sequences of random tokens. */
export function fewSequences(count: number, length: number, seed = 1): number[][] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, () => Array.from({ length }, () => Math.floor(random() * 64)));
}

/** An optimiser's part that moves nothing. */
export const unmoved: Updates = { state: new Map(), begin: () => {}, apply: () => {}, dispose: () => {} };

interface Outcome { readonly steps: readonly StepResult[]; readonly weights: ReadonlyMap<string, Uint8Array>; readonly live: number; readonly most: number; readonly planned?: number }

/** Three steps; all that is trained and saved; the most bytes alive at a time, and what the GPU holds with a step recorded. */
async function trained(config: Record<string, unknown>, backend: BackendName, options: Partial<TrainerOptions>): Promise<Outcome> {
  const model = await initialize(config, { seed: 3, backend });
  const { device } = model.engine;
  const trainer = new Trainer(model, { optimizer: { ...adamw(), scoreLimit: 0.02 }, ...options });
  const alloc = device.alloc.bind(device);
  let most = 0;
  device.alloc = (bytes) => {
    const id = alloc(bytes);
    most = Math.max(most, device.liveBytes);
    return id;
  };
  const steps: StepResult[] = [];
  for (let i = 0; i < 3; i++) steps.push(await trainer.update([fewSequences(4, 48, i)]));
  const weights = new Map<string, Uint8Array>();
  for (const [name, tensor] of trainer.state()) weights.set(name, await tensor.read());
  const planned = backend === 'webgpu' ? (device.backend as WebGpuBackend).counts.usedBytes : undefined;
  trainer.dispose();
  await model.dispose();
  return { steps, weights, live: device.liveBytes, most, planned };
}

/** Holds training that computes layers again to the numbers of training that keeps them, and to half of its memory. */
export async function compareRecomputed(config: Record<string, unknown>, backend: BackendName, options: Partial<TrainerOptions> = {}): Promise<void> {
  const [kept, again] = [await trained(config, backend, options), await trained(config, backend, { ...options, recompute: 'layers' })];
  expect(again.steps).toEqual(kept.steps);
  expect(again.weights).toEqual(kept.weights);
  expect(again.live).toBe(0);
  expect(again.most).toBeLessThan(kept.most / 2);
  if (kept.planned) expect(again.planned).toBeLessThan(0.8 * kept.planned);
}
