// Optimisers against recorded runs of the reference (30 steps on the small Qwen3 checkpoint) and
// Newton-Schulz against its recorded results; what moves which parameters; schedules.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { createBackend } from '../../src/engine/index.js';
import { Device, fromArray, scope } from '../../src/tensor/index.js';
import type { Tensor } from '../../src/tensor/index.js';
import { adamw, constant, cosine, initialize, muon, orthogonalized, train, wsd } from '../../src/training/index.js';
import type { Optimizer } from '../../src/training/index.js';
import { relativeError } from '../numbers.js';
import { dataFile, loadReference, modelDirectory, readArrays } from '../support.js';
import { gpuKind, trainingBackends } from '../webgpu/support.js';
import { fewSequences, tinyConfig, unmoved } from './support.js';

const recorded = dataFile('optimizers.json');
const settings: Readonly<Record<string, Optimizer>> = {
  adamw: adamw({ learningRate: 2e-3 }),
  muon: muon({ scaling: 'original', learningRate: 0.02 }),
  muon_rms: muon({ scaling: 'rms', learningRate: 2e-3 }),
};

describe.skipIf(!modelDirectory('qwen3'))('30 recorded steps', () => {
  const losses = JSON.parse(readFileSync(recorded, 'utf8')) as Record<string, number[]>;
  for (const [name, optimizer] of Object.entries(settings)) for (const backend of trainingBackends(name === 'muon_rms')) it(`${name} on ${backend}`, async () => {
    const model = await loadReference('qwen3', { backend });
    const ids = (await readArrays(join(modelDirectory('qwen3')!, 'reference.safetensors'))).get('input_ids')!;
    const batch = [[...ids.data.slice(0, 40)], [...ids.data.slice(40)]];
    const before = model.engine.device.liveBytes;
    const got: number[] = [];
    const steps = backend === 'webgpu' && gpuKind !== 'hardware' ? 10 : 30;
    for await (const { loss } of train(model, { batches: () => batch, steps, optimizer, clipNorm: Infinity, precision: 'f32' })) got.push(loss);
    expect(got.length).toBe(steps);
    got.forEach((loss, i) => expect(Math.abs(loss / losses[name][i] - 1), `step ${i + 1}: ${loss}, recorded ${losses[name][i]}`).toBeLessThan(i < 10 ? 1e-3 : 1e-2));
    expect(model.engine.device.liveBytes).toBe(before);
    await model.dispose();
  }, 120_000);
});

for (const backend of trainingBackends(true)) it(`Newton-Schulz matches the recorded results on ${backend}`, async () => {
  const arrays = await readArrays(dataFile('newton_schulz.safetensors'));
  const device = new Device(await createBackend(backend));
  for (const name of ['wide', 'tall']) {
    const { data, shape } = arrays.get(name)!;
    const out = scope(() => orthogonalized(fromArray(device, shape, data)).retain());
    expect(relativeError(await out.toFloat32(), arrays.get(`${name}_out`)!.data)).toBeLessThan(1e-4);
    out.release();
  }
  expect(device.liveBytes).toBe(0);
  device.backend.dispose();
}, 60_000);

it('each expert is orthogonalised by itself, and one that no token reached does not move', async () => {
  const device = new Device(new ReferenceBackend());
  const matrix = (seed: number) => Float32Array.from({ length: 12 }, (_, i) => Math.sin(seed * 7 + i * i));
  const of = async (shape: number[], values: Float32Array) => {
    const out = scope(() => orthogonalized(fromArray(device, shape, values)).retain());
    const result = await out.toFloat32();
    out.release();
    return result;
  };
  const stacked = await of([3, 4, 3], Float32Array.of(...matrix(1), ...new Float32Array(12), ...matrix(2)));
  expect(stacked.slice(0, 12)).toEqual(await of([4, 3], matrix(1)));
  expect(stacked.slice(12, 24)).toEqual(new Float32Array(12));
  expect(stacked.slice(24)).toEqual(await of([4, 3], matrix(2)));
});

it('gradients of several batches make the step of one large batch', async () => {
  const run = async (batches: (readonly number[])[][], accumulate: number) => {
    const model = await initialize(tinyConfig, { seed: 3, backend: 'reference' });
    const losses: number[] = [];
    for await (const { loss, gradientNorm } of train(model, { batches, accumulate, optimizer: adamw() })) losses.push(loss, gradientNorm);
    await model.dispose();
    return losses;
  };
  const [a, b] = [fewSequences(2, 9), fewSequences(3, 5, 8)];
  const together = await run([[...a, ...b], [...b, ...a]], 1);
  const apart = await run([a, b, b, a], 2);
  expect(relativeError(apart, together)).toBeLessThan(1e-5);
});

it('clipping scales what is too long, and nothing else', async () => {
  const moved = async (clipNorm: number) => {
    const model = await initialize(tinyConfig, { seed: 3, backend: 'reference' });
    const clips: Tensor[] = [];
    const plain: Optimizer = { name: 'sum', learningRate: 1, prepare: () => ({ ...unmoved, apply: (_, clip) => { clips.push(clip.retain()); } }) };
    let norm = 0;
    for await (const { gradientNorm } of train(model, { batches: [fewSequences(2, 9)], optimizer: plain, clipNorm })) norm = gradientNorm;
    const scales: number[] = [];
    for (const clip of clips) {
      scales.push((await clip.toFloat32())[0]);
      clip.release();
    }
    await model.dispose();
    return { norm, scales };
  };
  const free = await moved(Infinity);
  expect(free.scales).toEqual([1]);
  const [quarter] = (await moved(free.norm / 4)).scales;
  expect(quarter).toBeCloseTo(0.25, 6);
});

describe('schedules', () => {
  const at = (schedule: (step: number, steps: number) => number, ...steps: number[]) => steps.map((step) => Number(schedule(step, 100).toFixed(6)));
  it('warm up', () => expect(at(constant({ warmup: 10 }), 1, 5, 10, 100)).toEqual([0.1, 0.5, 1, 1]));
  it('go down as a cosine', () => expect(at(cosine({ warmup: 20, final: 0.1 }), 10, 20, 60, 100)).toEqual([0.5, 1, 0.55, 0.1]));
  it('stay, then decay', () => expect(at(wsd({ warmup: 10, decay: 0.2 }), 5, 10, 80, 90, 100)).toEqual([0.5, 1, 1, 0.5, 0]));
});
