// Tokens drawn where the logits are: the same as picked from logits that are read back, for each
// sequence as if it were alone, however it shares steps, pages and plans with others.

import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadModel } from '../../src/index.js';
import type { LoadOptions, Model } from '../../src/index.js';
import { drawToken, gumbelNoise } from '../../src/tensor/index.js';
import { largest } from '../../src/generate/index.js';
import type { Draws } from '../../src/engine/index.js';
import { storyModel } from '../generate/story_model.js';
import { gpuKind, titled } from '../webgpu/support.js';

describe('drawToken', () => {
  it('draws the softmax at its temperature', () => {
    const logits = Float32Array.of(1, 3, 2, -1, 2.5);
    for (const temperature of [0.7, 1, 2]) {
      const counts = [0, 0, 0, 0, 0];
      for (let position = 0; position < 20_000; position++) counts[drawToken(logits, temperature, 5, position)]++;
      const weights = [...logits].map((x) => Math.exp(x / temperature));
      const total = weights.reduce((a, b) => a + b, 0);
      counts.forEach((count, id) => expect(Math.abs(count / 20_000 - weights[id] / total), `token ${id} at ${temperature}`).toBeLessThan(0.015));
    }
  });

  it('is greedy at temperature 0, and finds no token without finite logits', () => {
    expect(drawToken(Float32Array.of(1, 3, 3), 0, 1, 1)).toBe(1);
    expect(drawToken(Float32Array.of(NaN, -Infinity), 0, 1, 1)).toBe(-1);
    expect(drawToken(Float32Array.of(1, Infinity), 0, 1, 1)).toBe(-1);
  });

  it('has noise of the Gumbel distribution that differs by seed, position and token', () => {
    const draws = Array.from({ length: 30_000 }, (_, i) => gumbelNoise(i % 100, Math.floor(i / 100) % 30, Math.floor(i / 3000)));
    expect(new Set(draws).size).toBeGreaterThan(29_990);
    const mean = draws.reduce((a, b) => a + b, 0) / draws.length;
    const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws.length;
    expect(mean).toBeCloseTo(0.5772, 1);
    expect(variance).toBeCloseTo(Math.PI ** 2 / 6, 1);
  });
});

const PROMPTS = [[5, 9, 200], [70], [1, 2, 3, 4, 5, 6, 7], [33, 90], [8, 8, 8]];

for (const { title, skipped, options } of [
  { title: 'reference', skipped: false, options: { backend: 'reference' } },
  { title: 'wasm', skipped: false, options: { backend: 'wasm', threads: 1 } },
  { title: titled('webgpu'), skipped: !gpuKind, options: { backend: 'webgpu' } },
] as { title: string; skipped: boolean; options: LoadOptions }[]) describe.skipIf(skipped)(`drawing on ${title}`, () => {
  let [directory, model]: [string, Model] = ['', undefined!];
  beforeAll(async () => {
    directory = await storyModel();
    model = await loadModel(directory, options);
  });
  afterAll(async () => {
    const { device } = model.engine;
    await model.dispose();
    expect(device.liveBytes).toBe(0);
    rmSync(directory, { recursive: true });
  });

  /** What one sequence gets from logits that are read back, step by step. */
  async function picked(prompt: readonly number[], count: number, temperature: number, seed: number): Promise<number[]> {
    const sequence = model.sequence();
    const tokens: number[] = [];
    let [logits] = await model.step([{ sequence, tokens: prompt }]);
    while (tokens.length < count) {
      const token = temperature > 0 ? drawToken(logits, temperature, seed, sequence.length - 1) : largest(logits);
      tokens.push(token);
      [logits] = await model.step([{ sequence, tokens: [token] }]);
    }
    sequence.dispose();
    return tokens;
  }

  async function started(prompts: readonly (readonly number[])[], each: { temperature?: number; seed?: number; limit?: number } = {}) {
    const sequences = prompts.map(() => model.sequence());
    const longer = prompts.flatMap((prompt, i) => (prompt.length > 1 ? [{ sequence: sequences[i], tokens: prompt.slice(0, -1), logits: 'none' as const }] : []));
    if (longer.length > 0) await model.step(longer);
    return { sequences, draws: model.engine.runner.draw(sequences.map((sequence, i) => ({ sequence, token: prompts[i].at(-1)!, ...each, seed: (each.seed ?? 0) + i }))) };
  }

  async function all(draws: Draws, count: number): Promise<number[][]> {
    const rows: number[][] = Array.from({ length: count }, () => []);
    for (let tokens; (tokens = await draws.next()) !== undefined;) tokens.forEach((token, i) => { if (token >= 0) rows[i].push(token); });
    return rows;
  }

  for (const temperature of [0, 0.8]) it(`gives every sequence its own tokens at temperature ${temperature}`, async () => {
    const { sequences, draws } = await started(PROMPTS, { temperature, seed: 40, limit: 12 });
    const rows = await all(draws, PROMPTS.length);
    for (const [i, prompt] of PROMPTS.entries()) {
      expect(rows[i], `prompt ${i}`).toEqual(await picked(prompt, 12, temperature, 40 + i));
      // The last token was drawn and not fed.
      expect(sequences[i].tokens).toEqual([...prompt, ...rows[i].slice(0, -1)]);
      expect(sequences[i].cached).toBe(sequences[i].length);
    }
    sequences.forEach((sequence) => sequence.dispose());
  });

  it('can be stopped at any time, and goes on as if no step had run ahead', async () => {
    const want = await picked([5, 9, 200], 70, 0, 0);
    const { sequences: [sequence], draws } = await started([[5, 9, 200]]);
    const tokens: number[] = [];
    // Over the end of a page, on which the steps ahead may already be.
    while (tokens.length < 61) tokens.push((await draws.next())![0]);
    const [logits] = await model.step([{ sequence, tokens: [tokens.at(-1)!] }]);
    tokens.push(largest(logits));
    const again = model.engine.runner.draw([{ sequence, token: tokens.at(-1)!, limit: 8 }]);
    tokens.push(...(await all(again, 1))[0]);
    expect(tokens).toEqual(want);
    sequence.dispose();
  });

  it('leaves other steps and other draws in between alone', async () => {
    const [a, b] = [await started([[5, 9, 200]], { limit: 6 }), await started([[70]], { limit: 6 })];
    const rows: number[][] = [[], []];
    const other = model.sequence();
    const logits: Float32Array[] = [];
    for (let i = 0; i < 6; i++) {
      rows[0].push((await a.draws.next())![0]);
      logits.push(...await model.step([{ sequence: other, tokens: [i] }]));
      rows[1].push((await b.draws.next())![0]);
    }
    expect(rows).toEqual([await picked([5, 9, 200], 6, 0, 0), await picked([70], 6, 0, 0)]);
    expect(largest(logits[5])).toBe((await picked([...Array(6).keys()], 1, 0, 0))[0]);
    for (const sequence of [...a.sequences, ...b.sequences, other]) sequence.dispose();
  });

  it('ends single sequences, gives their pages to others, and hands over what is under way', async () => {
    const { sequences, draws } = await started(PROMPTS);
    const rows: number[][] = PROMPTS.map(() => []);
    const take = (tokens: Int32Array) => tokens.forEach((token, i) => { if (token >= 0) rows[i].push(token); });
    for (let step = 0; step < 5; step++) take((await draws.next())!);
    for (const i of [1, 3]) {
      draws.end(i);
      sequences[i].dispose();
    }
    const newcomer = model.sequence();
    await model.step([{ sequence: newcomer, tokens: [9, 8, 7], logits: 'none' }]);
    for (let step = 0; step < 12; step++) take((await draws.next())!);
    draws.finish();
    for (let tokens; (tokens = await draws.next()) !== undefined;) take(tokens);
    for (const [i, prompt] of PROMPTS.entries()) {
      if (i === 1 || i === 3) expect(rows[i].length).toBe(5);
      else expect(rows[i].length).toBeGreaterThanOrEqual(17);
      expect(rows[i]).toEqual(await picked(prompt, rows[i].length, 0, 0));
    }
    const [logits] = await model.step([{ sequence: newcomer, tokens: [6] }]);
    expect(largest(logits)).toBe((await picked([9, 8, 7, 6], 1, 0, 0))[0]);
    for (const sequence of [...sequences, newcomer]) sequence.dispose();
  });

  it('fills the context to its last position and no further', async () => {
    const { sequences: [sequence], draws } = await started([[5]]);
    const [row] = await all(draws, 1);
    expect(row.length).toBe(model.contextLength);
    expect(sequence.length).toBe(model.contextLength);
    sequence.dispose();
  });

  it('refuses what it cannot continue', async () => {
    const { sequences: [sequence], draws } = await started([[5, 6]]);
    const { runner } = model.engine;
    expect(() => runner.draw([{ sequence, token: 1 }, { sequence, token: 2 }])).toThrow('a sequence can appear once in a step');
    expect(() => runner.draw([{ sequence, token: 257 }])).toThrow('token id 257 is not in the vocabulary (0 to 256)');
    expect(() => runner.draw([{ sequence, token: 1, temperature: -1 }])).toThrow('temperature must be at least 0, got -1');
    await draws.next();
    sequence.truncate(1);
    await expect(draws.next()).rejects.toThrow('a sequence was changed while tokens were drawn for it');
    sequence.dispose();
  });

  it('continues many prompts, each as if it were alone', async () => {
    const prompts = Array.from({ length: 11 }, (_, i) => [i + 1, 2 * i + 5].slice(i % 2));
    const options = { maxTokens: 24, temperature: 0.9, seed: 3, stopTokens: [7, 50, 90, 120, 200] };
    const completions = new Map<number, { tokens: readonly number[]; finishReason: string; text?: string }>();
    for await (const { index, ...completion } of model.generateBatch(prompts, { ...options, parallel: 4 })) {
      expect(completions.has(index)).toBe(false);
      completions.set(index, completion);
    }
    expect(completions.size).toBe(11);
    expect(new Set([...completions.values()].map((c) => c.finishReason))).toEqual(new Set(['stop', 'length']));
    for await (const { index, tokens, finishReason } of model.generateBatch(prompts, { ...options, parallel: 64 })) {
      expect({ tokens, finishReason }, `prompt ${index}`).toEqual({ tokens: completions.get(index)!.tokens, finishReason: completions.get(index)!.finishReason });
      const stop = tokens.findIndex((token) => options.stopTokens.includes(token));
      expect(finishReason === 'stop' ? stop : tokens.length).toBe(finishReason === 'stop' ? tokens.length - 1 : 24);
      expect(completions.get(index)!.text).toBe(model.tokenizer!.decode([...tokens], { skipSpecialTokens: true }));
    }
    await expect(model.generateBatch([[1], []]).next()).rejects.toThrow('prompt 1 is empty');
  });
});
