// Training on the GPU: the same steps as on the CPU, and a run that goes on from a saved state makes
// the very same numbers.

import { gpuKind, titled } from './support.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBackend } from '../../src/backends/webgpu/index.js';
import type { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import type { Model } from '../../src/index.js';
import { initialize, muonClip, Trainer } from '../../src/training/index.js';
import type { StepResult } from '../../src/training/index.js';
import { compareRecomputed, fewSequences, tinyConfig } from '../training/support.js';

const optimizer = () => muonClip({ learningRate: 0.02, scoreLimit: 0.02 });

async function opened(backend: 'webgpu' | 'wasm'): Promise<{ model: Model; trainer: Trainer }> {
  const model = await initialize(tinyConfig, { seed: 5, backend });
  return { model, trainer: new Trainer(model, { optimizer: optimizer(), clipNorm: 0.5 }) };
}

/** Steps with batches of equal and of different shapes. */
async function steps(trainer: Trainer, until: number): Promise<StepResult[]> {
  const made: StepResult[] = [];
  while (trainer.step < until) made.push(await trainer.update([fewSequences(2, trainer.step === 3 ? 9 : 12, trainer.step)], 1 - trainer.step / 10));
  return made;
}

async function close({ model, trainer }: { model: Model; trainer: Trainer }): Promise<void> {
  trainer.dispose();
  await model.dispose();
  expect(model.engine.device.liveBytes).toBe(0);
}

describe.skipIf(!gpuKind)(titled('training'), () => {
  // Keeps the device, and with it compiled kernels, open between models.
  let keeper: WebGpuBackend;
  beforeAll(async () => { keeper = await createBackend(); });
  afterAll(() => keeper.dispose());

  it('steps are those of the CPU, and go on bit for bit from a saved state', async () => {
    const [whole, cpu] = [await opened('webgpu'), await opened('wasm')];
    const made = await steps(whole.trainer, 6);
    for (const [i, expected] of (await steps(cpu.trainer, 6)).entries()) {
      expect(made[i].loss).toBeCloseTo(expected.loss, 4);
      expect(made[i].gradientNorm).toBeCloseTo(expected.gradientNorm, 3);
      expect(made[i].largestScore).toBeCloseTo(expected.largestScore!, 3);
      expect(made[i].clippedHeads).toBe(expected.clippedHeads);
    }
    expect(made.some(({ clippedHeads }) => clippedHeads! > 0)).toBe(true);
    await close(cpu);
    await close(whole);

    const first = await opened('webgpu');
    const before = await steps(first.trainer, 2);
    const saved = new Map<string, Uint8Array>();
    for (const [name, tensor] of first.trainer.state()) saved.set(name, await tensor.read());
    await close(first);
    const second = await opened('webgpu');
    await second.trainer.restore(2, async (name) => saved.get(name));
    expect([...before, ...await steps(second.trainer, 6)]).toEqual(made);
    await close(second);
  }, 120_000);
  it('layers that are computed again give the same numbers in less memory', () => compareRecomputed({ ...tinyConfig, num_hidden_layers: 5 }, 'webgpu'), 120_000);
});
