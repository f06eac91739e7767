// A run as a directory: interrupted anywhere and resumed it gives the same losses as one that was not;
// order and weights follow the seed; presets have equal totals; what it leaves is a model.

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/index.js';
import { hiddenParameters, presetArchitectures, presetConfig, presets } from '../../src/models/index.js';
import { parameters } from '../../src/nn/index.js';
import { initialize, PackedBatches, TrainingRun } from '../../src/training/index.js';
import type { RunSettings, TrainingStep } from '../../src/training/index.js';
import { lamella } from '../cli/helpers.js';
import { temporaryFolder } from '../temporary.js';

const folder = temporaryFolder();
const stories = join(folder, 'stories.txt');
writeFileSync(stories, Array.from({ length: 60 }, (_, i) => `Once there were ${i} cats and ${(i * 7) % 13} dogs. They liked to play in the ${['garden', 'house', 'river'][i % 3]}.`).join('\n<|endoftext|>\n'));

const settings: RunSettings = {
  arch: 'llama', preset: 'tiny', data: [stories], vocab: 300, optimizer: 'muonclip', weightDecay: 0.1, clip: 1, schedule: 'cosine', warmup: 2, steps: 6, batch: 2, context: 12,
  accumulate: 1, validation: 0.1, seed: 4,
};
let runs = 0;
const place = () => join(folder, `run-${runs++}`);

async function losses(run: TrainingRun, until = Infinity): Promise<TrainingStep[]> {
  const seen: TrainingStep[] = [];
  const stop = new AbortController();
  for await (const step of run.steps(stop.signal)) {
    seen.push(step);
    if (step.step === until) stop.abort();
  }
  return seen;
}
const figures = (steps: readonly TrainingStep[]) => steps.map(({ step, loss, gradientNorm, learningRate, largestScore }) => ({ step, loss, gradientNorm, learningRate, largestScore }));

describe('a run', () => {
  for (const arch of ['llama', 'deepseek_v3']) it(`of ${arch} goes on bit for bit after an interruption`, async () => {
    const how = { backend: 'wasm', threads: 2 } as const;
    const whole = await TrainingRun.create(place(), { ...settings, arch, steps: 5 }, how);
    const uninterrupted = figures(await losses(whole));
    const validation = await whole.validate();
    await whole.dispose();
    expect(uninterrupted.length).toBe(5);

    const directory = place();
    const first = await TrainingRun.create(directory, { ...settings, arch, steps: 5 }, how);
    const before = figures(await losses(first, 2));
    await first.save();
    await first.dispose();
    // Made after the last save, and lost with it.
    appendFileSync(join(directory, 'metrics.jsonl'), `${JSON.stringify({ step: 3, loss: 99 })}\n`);
    // On the backend that run.json names.
    const second = await TrainingRun.resume(directory, { threads: 2 });
    expect(second.model.backend).toBe('wasm');
    const after = figures(await losses(second));
    expect([...before, ...after]).toEqual(uninterrupted);
    expect(await second.validate()).toBe(validation);
    const live = second.model.engine.device;
    await second.dispose();
    expect(live.liveBytes).toBe(0);
    const lines = readFileSync(join(directory, 'metrics.jsonl'), 'utf8').trim().split('\n').map((line) => JSON.parse(line) as TrainingStep);
    expect(figures(lines)).toEqual(uninterrupted);
  }, 120_000);

  it('leaves a model with its tokenizer, and refuses a directory that has a run', async () => {
    const directory = place();
    const run = await TrainingRun.create(directory, { ...settings, steps: 1 }, { backend: 'wasm', threads: 2 });
    await losses(run);
    await run.save();
    const logits = await run.model.logits([1, 2, 3]);
    await run.dispose();
    const model = await loadModel(directory, { backend: 'wasm' });
    expect((await model.logits([1, 2, 3])).data).toEqual(logits.data);
    expect(model.tokenizer!.decode(model.tokenizer!.encode('Once there were 3 cats'))).toBe('Once there were 3 cats');
    expect(model.endTokens).toEqual(new Set([0]));
    await model.dispose();
    await expect(TrainingRun.create(directory, settings)).rejects.toThrow('holds a run already');
    await expect(TrainingRun.resume(folder)).rejects.toThrow('no run to resume');
    await expect(TrainingRun.create(place(), { ...settings, data: [join(folder, 'none.txt')] })).rejects.toThrow('none.txt: there is no such file');
  }, 60_000);
});

it('initial weights follow the seed alone, on every backend', async () => {
  const config = presetConfig('qwen3', 'tiny', { vocab: 300, context: 16 });
  const weights = async (seed: number, backend: 'reference' | 'wasm') => {
    const model = await initialize(config, { seed, backend });
    const values: Float32Array[] = [];
    for (const { tensor } of parameters(model.engine.decoder)) values.push(await tensor.toFloat32());
    await model.dispose();
    return values;
  };
  const [a, b, c] = [await weights(1, 'reference'), await weights(1, 'wasm'), await weights(2, 'wasm')];
  expect(a).toEqual(b);
  expect(c[0]).not.toEqual(b[0]);
});

describe('batches', () => {
  const tokens = Uint32Array.from({ length: 101 }, (_, i) => (i % 9 === 0 ? 0 : i));
  const options = { context: 11, batch: 3, seed: 1, separator: 0, validation: 0.2 };
  it('cut windows into documents that share the mark between them', () => {
    const batches = new PackedBatches(tokens, { ...options, batch: 8, validation: 0 });
    const all = [...batches.at(0), ...batches.at(1)];
    for (const sequence of all) {
      expect(sequence.length).toBeGreaterThan(1);
      expect(sequence.slice(1, -1)).not.toContain(0);
    }
  });
  it('predict every token of the training part once in a pass, in an order of the seed alone', () => {
    const windows = new PackedBatches(tokens, { ...options, batch: 1 });
    const predicted = (pass: number) => Array.from({ length: 8 }, (_, i) => windows.at(pass * 8 + i).flatMap((s) => s.slice(1)).join());
    expect([...predicted(0)].sort()).toEqual([...predicted(1)].sort());
    expect(predicted(0)).not.toEqual(predicted(1));
    expect(new PackedBatches(tokens, { ...options, batch: 1 }).at(11)).toEqual(windows.at(11));
    expect(new PackedBatches(tokens, { ...options, batch: 1, seed: 2 }).at(0)).not.toEqual(windows.at(0));
    expect([...windows.validation()].flat().flatMap((s) => s.slice(1))).toEqual([...tokens.subarray(81)]);
  });
  it('say when there is too little', () => expect(() => new PackedBatches(tokens, { ...options, context: 100 })).toThrow('too few for windows of 100'));
});

describe('presets', () => {
  for (const arch of presetArchitectures) it(`${arch} has the parameters of its siblings`, () => {
    const count = hiddenParameters(presetConfig(arch, 'tiny', { vocab: 2048, context: 256 }));
    expect(Math.abs(count / presets.tiny.parameters - 1)).toBeLessThan(0.03);
  });
  it('names what it knows', () => expect(() => presetConfig('rnn', 'tiny', { vocab: 300, context: 16 })).toThrow("unknown architecture 'rnn'; known are gpt2, llama,"));
});

describe('lamella train', () => {
  const common = ['--data', stories, '--vocab', '300', '--batch', '2', '--context', '12', '--backend', 'wasm', '--threads', '2'];
  it('trains, prints steps as JSON, and resumes', async () => {
    const out = place();
    const ran = await lamella('train', ...common, '--arch', 'gpt2', '--steps', '2', '--out', out, '--json');
    expect(ran.code, ran.err).toBe(0);
    const steps = ran.out.trim().split('\n').map((line) => JSON.parse(line) as TrainingStep & { validationLoss?: number });
    expect(steps.map(({ step }) => step)).toEqual([1, 2]);
    expect(steps[1].validationLoss).toBeGreaterThan(0);
    expect(await lamella('train', ...common, '--out', out)).toMatchObject({ code: 1 });
    const again = await lamella('train', '--out', out, '--resume', '--recompute');
    expect(again.err).toContain('at step 2 of 2 already');
    const text = await lamella('run', out, 'Once', '--max-tokens', '3', '--backend', 'wasm');
    expect(text.code, text.err).toBe(0);
  }, 60_000);
  it('refuses wrong usage', async () => {
    expect((await lamella('train')).err).toContain('what to train on is missing');
    expect(await lamella('train', '--data', stories, '--arch', 'rnn', '--out', place())).toMatchObject({ code: 1 });
    expect(await lamella('train', '--data', stories, '--optimizer', 'sgd')).toMatchObject({ code: 2 });
  });
});
