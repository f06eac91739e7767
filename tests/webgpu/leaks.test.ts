// What a model holds on a GPU does not grow with use. The device does nothing, so that much use is soon
// made of it; what it is asked to make and to destroy is what any is asked.

import { expect, it } from 'vitest';
import { foundOnH100, idleAdapter, idleDevice } from '../../bench/idle-device.mjs';
import { Gpu } from '../../src/backends/webgpu/gpu.js';
import { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import { syntheticEngine } from '../../src/engine/synthetic.js';
import { generate } from '../../src/generate/index.js';
import { tinyConfig } from '../training/support.js';

it('1,000 generations leave as many bytes as 50', async () => {
  const { device, counts } = idleDevice();
  const gpu = await Gpu.on(idleAdapter, device);
  gpu.capabilities = { ...gpu.capabilities, ...foundOnH100 };
  const backend = new WebGpuBackend(gpu);
  const engine = await syntheticEngine(tinyConfig, backend, 'f16');
  const held = () => ({ ...backend.counts, dispatches: 0, submits: 0, live: engine.device.liveBytes, onDevice: counts.liveBytes, pipelines: gpu.pipelineCount });
  const run = async (i: number) => {
    const prompt = Array.from({ length: 1 + i % 7 }, (_, k) => (i + 7 * k) % 64);
    let tokens = 0;
    for await (const piece of generate(engine.runner, prompt, undefined, new Set(), { maxTokens: 1 + i % 5, temperature: i % 2, seed: i, ignoreEos: true })) {
      void piece;
      // Some are left before their end, and steps under way with them.
      if (++tokens === 3 && i % 11 === 0) break;
    }
    expect(tokens).toBeGreaterThan(0);
  };
  for (let i = 0; i < 50; i++) await run(i);
  const before = held();
  expect(before.onDevice).toBeGreaterThan(before.live);
  for (let i = 50; i < 1000; i++) await run(i);
  expect(held()).toEqual(before);
  engine.dispose();
  expect(counts.liveBytes).toBe(0);
});

it('binds nothing anew for a prompt as long as one before', async () => {
  const { device } = idleDevice();
  let bound = 0;
  const { createBindGroup } = device;
  device.createBindGroup = (...args: Parameters<typeof createBindGroup>) => { bound++; return createBindGroup.apply(device, args); };
  const engine = await syntheticEngine(tinyConfig, new WebGpuBackend(await Gpu.on(idleAdapter, device)), 'f16');
  const prompt = async (length: number) => {
    const sequence = engine.runner.sequence();
    bound = 0;
    await engine.runner.step([{ sequence, tokens: Array.from({ length }, (_, i) => i % 64), logits: 'last' }]);
    sequence.dispose();
    return bound;
  };
  expect(await prompt(20)).toBeGreaterThan(10);
  expect(await prompt(20)).toBe(0);
  expect(await prompt(21)).toBeGreaterThan(10);
  engine.dispose();
});
