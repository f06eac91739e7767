// `lamella bench`: what was measured is what was asked for, the bytes add up, and layers are cut from
// every published config. How fast anything is is nobody's business here.

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { withLayers } from '../../src/cli/bench.js';
import { buildModel, ConfigError } from '../../src/models/index.js';
import { findPublished, publishedNames } from '../../src/models/published.js';
import { storyModel } from '../generate/story_model.js';
import { hasShared, modelDirectory, shared } from '../support.js';
import { fakeIo, lamella, lamellaWith, tinyModel } from './helpers.js';

const REFERENCE = ['--backend', 'reference'];

interface Spread { median: number; least: number; most: number }
interface Figures {
  promptTokens: number; generatedTokens: number; sequences: number; runs: { prefill: number; decode: number }[]; prefill: Spread; decode: Spread;
  weightBytes: number; weightBytesPerToken: number; loadMs: number; layers: object; backend: string; threads: number | null; synthetic: boolean; model: string; machine: object;
}
async function figures(model: string, ...flags: string[]): Promise<Figures> {
  const { code, out, err } = await lamella('bench', model, '--json', ...flags, ...(flags.includes('--backend') ? [] : REFERENCE));
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Figures;
}
const quick = ['--prompt', '4', '--generate', '2', '--runs', '1'];

/** Small enough to be made in a moment, unlike any published release. */
const SHAPE = ['synthetic:gpt2', '--layers', '1', '--prompt', '2', '--generate', '1', '--runs', '1'];

describe('a checkpoint', () => {
  it('is measured as often and as long as wanted, with medians of the runs', async () => {
    const result = await figures(await storyModel(), '--prompt', '20', '--generate', '5', '--sequences', '3', '--runs', '4');
    expect(result).toMatchObject({ promptTokens: 20, generatedTokens: 5, sequences: 3, backend: 'reference', threads: null, synthetic: false, layers: { run: 2, published: 2 } });
    expect(result.runs).toHaveLength(4);
    for (const kind of ['prefill', 'decode'] as const) {
      const sorted = result.runs.map((run) => run[kind]).sort((a, b) => a - b);
      expect(result[kind]).toEqual({ least: sorted[0], most: sorted[3], median: (sorted[1] + sorted[2]) / 2 });
      expect(result[kind].least).toBeGreaterThan(0);
    }
    expect(result.loadMs).toBeGreaterThan(0);
    expect(result.machine).toMatchObject({ node: process.version });
  });

  it('is given what its context has room for', async () => {
    expect(await figures(tinyModel(), '--runs', '1')).toMatchObject({ promptTokens: 64 - 16 - 1, generatedTokens: 16 });
    const { code, err } = await lamella('bench', tinyModel(), '--prompt', '60', '--generate', '4', ...REFERENCE);
    expect(code).toBe(1);
    expect(err).toMatch(/^lamella: 60 \+ 4 \+ 1 tokens are more than the context of 64\n$/);
  });

  it('reads all of a dense model with a tied head per token, in any format', async () => {
    const model = await storyModel();
    const { weightBytes, weightBytesPerToken } = await figures(model, ...quick);
    expect(weightBytesPerToken).toBe(weightBytes);
    // All but the header of its file, which holds float32 alone.
    const file = statSync(join(model, 'model.safetensors')).size;
    expect(weightBytes).toBeLessThan(file);
    expect(weightBytes).toBeGreaterThan(file - 4000);
    for (const weights of ['f16', 'bf16']) {
      const half = await figures(model, ...quick, '--weights', weights);
      expect(half.weightBytes / weightBytes).toBeCloseTo(0.5, 1);
      expect(half.weightBytes).toBeGreaterThan(weightBytes / 2);
    }
    expect((await figures(model, ...quick, '--weights', 'q8_0')).weightBytes / weightBytes).toBeCloseTo(34 / 128, 1);
  });

  it('reads the experts that a token uses, and one row of a table', async () => {
    const folder = modelDirectory('qwen3_moe')!;
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as Record<string, number> & { tie_word_embeddings: boolean };
    const { weightBytes, weightBytesPerToken } = await figures(folder, ...quick);
    const expert = 3 * config.hidden_size * config.moe_intermediate_size * 4;
    const idle = (config.num_experts - config.num_experts_per_tok) * expert * config.num_hidden_layers;
    const table = config.tie_word_embeddings ? 0 : (config.vocab_size - 1) * config.hidden_size * 4;
    expect(weightBytes - weightBytesPerToken).toBe(idle + table);
  });

  it('is cut to its first layers, and says so', async () => {
    const model = await storyModel();
    const [all, one] = [await figures(model, ...quick), await figures(model, ...quick, '--layers', '1')];
    expect(one.layers).toEqual({ run: 1, published: 2 });
    expect(one.weightBytes).toBeLessThan(all.weightBytes);
    const { out } = await lamella('bench', model, ...quick, '--layers', '1', ...REFERENCE);
    expect(out).toMatch(/, the first 1 of its 2 layers only\n/);
    expect((await lamella('bench', model, '--layers', '3', ...REFERENCE)).err).toMatch(/the model has 2 layers, fewer than --layers 3/);
  });

  it('is told of in lines', async () => {
    const { code, out, err } = await lamella('bench', tinyModel(), ...quick, '--sequences', '2', ...REFERENCE);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^.*\n {2}prefill +[\d.]+ tok\/s \([\d.]+ to [\d.]+\), 4 tokens\n {2}decode +[\d.]+ tok\/s .*, 2 tokens for each of 2 sequences together\n {2}weights +[\d,]+ B as stored, [\d,]+ B read per token\n/);
    expect(out).toMatch(/\n {2}counted +one run; one before did not count\n$/);
  });
});

describe('synthetic: weights', () => {
  it('have the published shape, in the format that is asked for', async () => {
    const result = await figures(...SHAPE as [string], '--weights', 'q8_0', '--backend', 'wasm', '--threads', '1');
    expect(result).toMatchObject({ model: 'gpt2', synthetic: true, backend: 'wasm', threads: 1, layers: { run: 1, published: 12 }, promptTokens: 2, generatedTokens: 1 });
    // The table, the positions and one block of 12 * 768^2 numbers; 34 bytes hold 32.
    const matrices = (50257 + 1024 + 12 * 768) * 768;
    expect(result.weightBytes / ((matrices * 34) / 32)).toBeCloseTo(1, 2);
    expect(result.weightBytes - result.weightBytesPerToken).toBe((1023 * 768 * 34) / 32);
  });

  it('are of published releases only', async () => {
    const near = await lamella('bench', 'synthetic:qwen3-0.7b');
    expect(near).toMatchObject({ code: 1, out: '' });
    expect(near.err).toMatch(/no published release is called 'qwen3-0\.7b'; near it are .*qwen3-0\.6b/);
    expect((await lamella('bench', 'synthetic:gpt2', '--revision', 'main')).code).toBe(2);
    const streamed = await lamella('bench', 'synthetic:gpt2', '--memory', '1GB');
    expect(streamed).toMatchObject({ code: 2, out: '' });
    expect(streamed.err).toContain('--memory is for checkpoints: random weights are all made in memory');
  });
});

describe('cutting layers', () => {
  const layersOf = (config: unknown) => (buildModel(config).decoder.parts.layers as readonly unknown[]).length;

  it.each(publishedNames)('of %s gives a model of two layers', (name) => {
    const { config } = findPublished(name)!;
    let whole: number;
    try {
      whole = layersOf(config);
    } catch (error) {
      // Its family is not implemented, cut or not.
      expect(error).toBeInstanceOf(ConfigError);
      return;
    }
    const cut = withLayers(config, 2);
    expect(cut.layers).toEqual({ run: 2, published: whole });
    expect(layersOf(cut.config)).toBe(2);
  });

  it('leaves the config alone when all are wanted', () => {
    const { config } = findPublished('gemma-3-27b')!;
    expect(withLayers(config, undefined).config).toEqual(config);
  });
});

it('ends with 130 at Ctrl-C', async () => {
  const io = fakeIo();
  const running = lamellaWith(io, 'bench', tinyModel({ config: { max_position_embeddings: 100_000 } }), '--generate', '90000', ...REFERENCE);
  await new Promise((resolve) => { setTimeout(resolve, 400); });
  io.interrupt();
  expect(await running).toEqual({ code: 130, out: '', err: '' });
});

it('is explained by its help, and refuses what is out of range', async () => {
  const { out } = await lamella('bench', '--help');
  for (const flag of ['backend', 'threads', 'prompt', 'generate', 'sequences', 'runs', 'weights', 'layers', 'revision', 'json']) expect(out).toContain(`--${flag}`);
  expect(out).toMatch(/^Examples:\n {2}\$ lamella bench/m);
  for (const flag of ['prompt', 'generate', 'sequences', 'runs', 'layers', 'threads']) expect((await lamella('bench', 'x', `--${flag}`, '0')).code).toBe(2);
});

describe.skipIf(!hasShared)(`a story model${hasShared ? '' : ' (needs ../shared)'}`, () => {
  it('is measured on the default backend', async () => {
    const result = await figures(join(shared, 'assets/checkpoints/stories260K'), '--runs', '1', '--backend', 'auto');
    expect(result).toMatchObject({ backend: 'wasm', promptTokens: 512 - 64 - 1, generatedTokens: 64 });
    expect(result.decode.median).toBeGreaterThan(1);
  });
});
