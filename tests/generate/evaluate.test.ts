// Perplexity, KL divergence and the benchmark, on a model small enough to check by hand.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { Engine, syntheticWeight } from '../../src/engine/index.js';
import { benchmark, evaluate, logProbability } from '../../src/generate/index.js';
import { loadReference, modelDirectory, noise, readArrays } from '../support.js';

const ids = [...noise(100, 5)].map((x) => Math.floor(Math.abs(x) * 271));

it('gives the mean negative log-likelihood over windows that start afresh', async () => {
  const model = await loadReference('qwen3');
  const result = await evaluate(model.engine.runner, ids, { window: 40 });
  let nll = 0;
  for (const start of [0, 40, 80]) {
    const part = ids.slice(start, start + 41);
    const { data } = await model.logits(part.slice(0, -1));
    part.slice(1).forEach((id, row) => { nll -= logProbability(data.slice(row * 272, (row + 1) * 272), id); });
  }
  expect(result.tokens).toBe(99);
  expect(result.meanNll).toBeCloseTo(nll / 99, 4);
  expect(result.perplexity).toBeCloseTo(Math.exp(nll / 99), -1);
  expect((await evaluate(model.engine.runner, ids, { maxTokens: 7 })).tokens).toBe(7);
  await expect(evaluate(model.engine.runner, [1])).rejects.toThrow('at least two tokens');
  await model.dispose();
});

it('agrees with the reference loss', async () => {
  const model = await loadReference('gpt2');
  const { loss } = JSON.parse(readFileSync(join(modelDirectory('gpt2')!, 'reference.json'), 'utf8')) as { loss: number };
  const input = (await readArrays(join(modelDirectory('gpt2')!, 'reference.safetensors'))).get('input_ids')!.data;
  const [a, b] = [await evaluate(model.engine.runner, [...input.slice(0, 40)]), await evaluate(model.engine.runner, [...input.slice(40)])];
  expect((a.meanNll + b.meanNll) / 2).toBeCloseTo(loss, 4);
  await model.dispose();
});

it('has no divergence from itself and some from its quantised self', async () => {
  const [model, quantised] = [await loadReference('gpt2'), await loadReference('gpt2', { weights: 'q8_0' })];
  const same = await evaluate(model.engine.runner, ids, { against: model.engine.runner });
  expect(same).toMatchObject({ klDivergence: 0, sameTopToken: 1 });
  const other = await evaluate(quantised.engine.runner, ids, { against: model.engine.runner });
  expect(other.klDivergence).toBeGreaterThan(1e-6);
  expect(other.klDivergence).toBeLessThan(0.1);
  await model.dispose();
  await quantised.dispose();
});

it('benchmarks a model made of synthetic weights', async () => {
  const config = JSON.parse(readFileSync(join(modelDirectory('qwen3_moe')!, 'config.json'), 'utf8')) as Record<string, unknown>;
  for (const format of ['f32', 'f16', 'bf16', 'q8_0', 'q4_0'] as const) {
    const engine = Engine.create(config, new ReferenceBackend(), (parameter, device) => syntheticWeight(parameter, device, format));
    const result = await benchmark(engine.runner, { prompt: 12, generate: 3, sequences: 2 });
    expect(result).toMatchObject({ promptTokens: 12, generatedTokens: 3, sequences: 2 });
    expect(result.prefill).toBeGreaterThan(0);
    expect(result.decode).toBeGreaterThan(0);
    engine.dispose();
    expect(engine.device.liveBytes).toBe(0);
  }
});
