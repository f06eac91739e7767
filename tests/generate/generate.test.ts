// Generation: sampling rules, seeds, stop strings, end tokens, log probabilities, aborts.

import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { largest, logProbability, Sampler } from '../../src/generate/index.js';
import { loadModel } from '../../src/index.js';
import type { GenerateOptions, Model } from '../../src/index.js';
import { loadReference } from '../support.js';
import { storyModel } from './story_model.js';

describe('Sampler', () => {
  const logits = Float32Array.of(1, 3, 2, -1, 2.5);
  const histogram = (options: ConstructorParameters<typeof Sampler>[0], seen: number[] = []) => {
    const sampler = new Sampler({ seed: 1, ...options });
    const counts = [0, 0, 0, 0, 0];
    for (let i = 0; i < 4000; i++) counts[sampler.pick(logits, seen)]++;
    return counts;
  };
  const softmax = (values: number[]) => {
    const e = values.map(Math.exp);
    return e.map((x) => x / e.reduce((a, b) => a + b, 0));
  };
  const expectShares = (counts: number[], shares: number[]) => counts.forEach((n, i) => expect(Math.abs(n / 4000 - shares[i])).toBeLessThan(0.03));

  it('is greedy at temperature 0', () => expect(histogram({ temperature: 0 })).toEqual([0, 4000, 0, 0, 0]));
  it('samples the softmax at temperature 1', () => expectShares(histogram({ temperature: 1 }), softmax([1, 3, 2, -1, 2.5])));
  it('flattens at temperature 2', () => expectShares(histogram({ temperature: 2 }), softmax([0.5, 1.5, 1, -0.5, 1.25])));
  it('keeps the k likeliest', () => expectShares(histogram({ temperature: 1, topK: 2 }), [0, ...softmax([3, 2.5]).slice(0, 1), 0, 0, softmax([3, 2.5])[1]]));
  it('keeps the likeliest up to top-p', () => {
    const p = softmax([1, 3, 2, -1, 2.5]);
    expect(histogram({ temperature: 1, topP: p[1] - 0.01 })).toEqual([0, 4000, 0, 0, 0]);
    expect(histogram({ temperature: 1, topP: p[1] + 0.01 }).map((n) => n > 0)).toEqual([false, true, false, false, true]);
  });
  it('keeps those at least min-p as likely as the likeliest', () => {
    expect(histogram({ temperature: 1, minP: Math.exp(-0.6) }).map((n) => n > 0)).toEqual([false, true, false, false, true]);
  });
  it('gives the same tokens however much of a large vocabulary the filters need', () => {
    const wide = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i * 12.9898) * 8);
    const sorted = [...wide.keys()].sort((a, b) => wide[b] - wide[a] || a - b);
    const e = sorted.map((id) => Math.exp(wide[id] - wide[sorted[0]]));
    const keepers = (options: ConstructorParameters<typeof Sampler>[0]) => {
      const sampler = new Sampler({ temperature: 1, seed: 2, ...options });
      return new Set(Array.from({ length: 3000 }, () => sampler.pick(wide, [])));
    };
    const top = (count: number) => new Set(sorted.slice(0, count));
    expect([...keepers({ topK: 3 })].sort()).toEqual([...top(3)].sort());
    let sum = 0;
    const nucleus = e.findIndex((p) => (sum += p) >= 0.4 * e.reduce((a, b) => a + b, 0)) + 1;
    expect(nucleus).toBeGreaterThan(20);
    const drawn = keepers({ topP: 0.4 });
    expect([...drawn].every((id) => top(nucleus).has(id))).toBe(true);
    expect(drawn.size).toBeGreaterThan(nucleus * 0.9);
    expect(keepers({ topK: 4000, minP: 0.9 })).toEqual(new Set(sorted.filter((_, i) => e[i] >= 0.9)));
  });
  it('penalises repetition', () => {
    const sampler = new Sampler({ repetitionPenalty: 2 });
    expect(sampler.pick(logits, [1])).toBe(4);
    expect(sampler.pick(Float32Array.of(-1, -1.5), [0])).toBe(1);
  });
  it('gives the same draws for the same seed', () => {
    expect(histogram({ temperature: 1, seed: 5 })).toEqual(histogram({ temperature: 1, seed: 5 }));
    expect(histogram({ temperature: 1, seed: 5 })).not.toEqual(histogram({ temperature: 1, seed: 6 }));
  });
  it('refuses settings outside their range', () => {
    expect(() => new Sampler({ temperature: -1 })).toThrow('temperature must be a number from 0 to 100, got -1');
    expect(() => new Sampler({ topP: 1.5 })).toThrow('topP');
    expect(() => new Sampler({ minP: Number.NaN })).toThrow('minP');
  });
  it('refuses logits that are not numbers', () => {
    expect(() => largest(Float32Array.of(NaN, NaN))).toThrow('no finite logits');
    expect(largest(Float32Array.of(NaN, 1, NaN))).toBe(1);
  });
});

describe('generate', () => {
  let model: Model;
  beforeAll(async () => { model = await loadReference('qwen3'); });
  afterAll(async () => {
    await model.dispose();
    expect(model.engine.device.liveBytes).toBe(0);
  });

  async function collect(options: GenerateOptions, prompt: number[] = [5, 6, 7]) {
    const run = model.generate(prompt, options);
    const pieces = [];
    for (;;) {
      const { value, done } = await run.next();
      if (done) return { pieces, tokens: pieces.map((p) => p.token), reason: value };
      pieces.push(value);
    }
  }

  it('ends after maxTokens, and with none at 0', async () => {
    expect(await collect({ maxTokens: 5, ignoreEos: true })).toMatchObject({ reason: 'length', tokens: { length: 5 } });
    expect(await collect({ maxTokens: 0 })).toMatchObject({ reason: 'length', tokens: [] });
  });
  it('repeats itself for a seed and differs for another', async () => {
    const options = { maxTokens: 12, temperature: 1.5, ignoreEos: true };
    const [a, b, c] = [await collect({ ...options, seed: 3 }), await collect({ ...options, seed: 3 }), await collect({ ...options, seed: 4 })];
    expect(a.tokens).toEqual(b.tokens);
    expect(a.tokens).not.toEqual(c.tokens);
  });
  it('gives the log probability that the model had', async () => {
    const { pieces } = await collect({ maxTokens: 3, logprobs: true, ignoreEos: true });
    const prompt = [5, 6, 7];
    for (const piece of pieces) {
      const { data, shape } = await model.logits(prompt);
      expect(piece.logprob).toBeCloseTo(logProbability(data.slice((shape[0] - 1) * shape[1]), piece.token), 4);
      prompt.push(piece.token);
    }
  });
  it('stops when aborted, before and in between', async () => {
    const control = new AbortController();
    const run = model.generate([5], { signal: control.signal, ignoreEos: true });
    await run.next();
    control.abort();
    expect(await run.next()).toEqual({ value: 'aborted', done: true });
    expect(await collect({ signal: AbortSignal.abort() })).toMatchObject({ reason: 'aborted', tokens: [] });
    expect(model.engine.runner.kv.groups.every((group) => group.used === 0)).toBe(true);
  });
  it('frees its pages when the caller stops listening', async () => {
    for await (const piece of model.generate([5], { ignoreEos: true })) if (piece.token >= 0) break;
    expect(model.engine.runner.kv.groups.every((group) => group.used === 0)).toBe(true);
  });
  it('ends at an end token unless told not to', async () => {
    const free = await collect({ maxTokens: 40, temperature: 1, seed: 2, ignoreEos: true });
    const config = { ...model.config, eos_token_id: free.tokens[4] };
    const ending = Object.assign(Object.create(Object.getPrototypeOf(model) as object) as Model, model, { config });
    const tokens = [];
    for await (const piece of ending.generate([5, 6, 7], { maxTokens: 40, temperature: 1, seed: 2 })) tokens.push(piece.token);
    expect(tokens).toEqual(free.tokens.slice(0, free.tokens.indexOf(free.tokens[4]) + 1));
  });
  it('stays within the context', async () => {
    const small = await loadReference('qwen3', { contextLength: 8 });
    let count = 0;
    for await (const piece of small.generate([1, 2, 3], { ignoreEos: true })) count += Number(piece.token >= 0);
    expect(count).toBe(5);
    await small.dispose();
  });
  it('refuses what cannot be continued', async () => {
    await expect(collect({}, [])).rejects.toThrow('the prompt is empty');
    await expect(collect({}, [272])).rejects.toThrow('token id 272 is not in the vocabulary');
    await expect(collect({}, Array<number>(600).fill(1))).rejects.toThrow('600 tokens are more than the context of 512');
    await expect(collect({ stop: 'x' })).rejects.toThrow('stop strings need a tokenizer');
    expect(() => model.generate('text')).toThrow('has no tokenizer');
  });
});

describe('text', () => {
  let model: Model;
  let directory: string;
  beforeAll(async () => {
    directory = await storyModel();
    model = await loadModel(directory, { backend: 'reference' });
  });
  afterAll(async () => {
    await model.dispose();
    rmSync(directory, { recursive: true });
  });

  const told = async (options: GenerateOptions) => {
    let text = '';
    const pieces: string[] = [];
    for await (const piece of model.generate('ab', options)) { pieces.push(piece.text); text += piece.text; }
    return { text, pieces };
  };

  it('joins to what decoding all tokens gives', async () => {
    const tokens: number[] = [];
    let text = '';
    for await (const piece of model.generate('ab', { maxTokens: 30, temperature: 1, seed: 9, ignoreEos: true })) { tokens.push(piece.token); text += piece.text; }
    const prompt = model.encode('ab');
    expect(model.tokenizer!.decode(prompt, { skipSpecialTokens: true }) + text).toBe(model.tokenizer!.decode([...prompt, ...tokens], { skipSpecialTokens: true }));
  });
  it('ends before a stop string, wherever the tokens cut it', async () => {
    const options = { maxTokens: 40, temperature: 1, seed: 9, ignoreEos: true };
    const whole = (await told(options)).text;
    const stop = whole.slice(11, 14);
    expect(whole.indexOf(stop)).toBeGreaterThan(0);
    expect((await told({ ...options, stop })).text).toBe(whole.slice(0, whole.indexOf(stop)));
    expect((await told({ ...options, stop: ['\u0000never', stop] })).text).toBe(whole.slice(0, whole.indexOf(stop)));
    expect((await told({ ...options, stop: '\u0000never' })).text).toBe(whole);
  });
});
