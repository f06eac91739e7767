// Differences in words: of pairs whose differences are known, of models with themselves, and that
// order decides nothing but who is named first.

import { describe as group, expect, it } from 'vitest';
import { describe, diff, diffDescriptions } from '../../src/analysis/index.js';
import type { Description, Difference } from '../../src/analysis/index.js';

const models = new Map<string, Promise<Description>>();
const model = (name: string): Promise<Description> => {
  if (!models.has(name)) models.set(name, describe(name, { context: 64 }));
  return models.get(name)!;
};
const between = async (a: string, b: string) => diffDescriptions(await model(a), await model(b));
const about = (differences: readonly Difference[], topic: string) => differences.find((difference) => difference.topic === topic);

group('the difference', () => {
  it('of a model and itself is none, whatever it is called', async () => {
    for (const name of ['gpt2', 'deepseek-v3', 'gemma-3-27b', 'llama-4-maverick']) {
      expect(await between(name, name)).toEqual([]);
      expect(diffDescriptions(await model(name), { ...await model(name), name: 'another', family: 'other' })).toEqual([]);
    }
    // One release under two of its names.
    expect(await diff('qwen3-0.6b', 'Qwen/Qwen3-0.6B')).toEqual([]);
    // Other weights in the same architecture.
    expect(await between('gemma-3-27b-it', 'gemma-3-27b-pt')).toEqual([]);
  });

  it('of Gemma 3 and Mistral Small', async () => {
    const found = await between('gemma-3-27b', 'mistral-small-3.1');
    const mistral = 'Mistral-Small-3.1-24B-Instruct-2503';
    expect(about(found, 'reach')).toEqual({
      topic: 'reach', a: '52 x the last 1,024 tokens; 10 x all tokens', b: 'all tokens',
      sentence: `gemma-3-27b-it keeps the last 1,024 tokens in 52 of its 62 layers and all tokens in the other 10; ${mistral} keeps all tokens in all 40 layers.`,
    });
    expect(found.map(({ topic }) => topic)).toEqual([
      'normPlacement', 'qkNorm', 'kvHeads', 'reach', 'positions', 'activation', 'feedForwardWidth', 'head', 'layers', 'hiddenSize', 'vocabulary', 'parameters', 'active', 'kvPerToken', 'kvAtContext',
    ]);
    // 62 layers x 16 heads and 40 layers x 8, of 128, keys and values, 2 bytes.
    expect(about(found, 'kvPerToken')).toMatchObject({ a: 62 * 16 * 128 * 4, b: 40 * 8 * 128 * 4, sentence: `gemma-3-27b-it stores 507,904 bytes of keys and values for a token, 3.1 times as many as ${mistral} (163,840).` });
    // At length the one that stores more per token keeps less.
    expect(about(found, 'kvAtContext')).toMatchObject({
      a: (10 * 131072 + 52 * 1024) * 8192, b: 131072 * 163840, sentence: `At 131,072 tokens ${mistral} keeps 21.5 GB, 1.9 times as much as gemma-3-27b-it (11.2 GB).`,
    });
  });

  it('of GPT-2 and DeepSeek V3', async () => {
    const found = await between('gpt2-xl', 'deepseek-v3');
    const sentences = found.map(({ sentence }) => sentence);
    for (const sentence of [
      'gpt2-xl norms neither queries nor keys; DeepSeek-V3 norms the latents of its attention.',
      'gpt2-xl has multi-head attention; DeepSeek-V3 has multi-head latent attention.',
      'gpt2-xl keeps 25 key/value heads; DeepSeek-V3 keeps a latent of 512 and 64 rotated numbers for all heads.',
      'gpt2-xl places tokens by a learned table of 1,024 rows; DeepSeek-V3 places tokens by RoPE of theta 10,000 (stretched 40 times).',
      'gpt2-xl has a dense feed-forward; DeepSeek-V3 has a mixture of 256 experts (8 for each token) in 58 of its 61 layers and a dense feed-forward in the other 3.',
      'gpt2-xl uses its embedding as output head; DeepSeek-V3 has an output head of its own.',
      'DeepSeek-V3 has 671.0B parameters, 431 times as many as gpt2-xl (1.6B).',
      'gpt2-xl stores 307,200 bytes of keys and values for a token, 4.4 times as many as DeepSeek-V3 (70,272).',
    ]) expect(sentences).toContain(sentence);
    // Experts are compared between models that have some, windows where one has them.
    expect(found.map(({ topic }) => topic)).not.toEqual(expect.arrayContaining(['experts']));
    expect(about(found, 'kvAtContext')).toBeUndefined();
    expect(about(found, 'normPlacement')).toBeUndefined();
  });

  it('of Kimi K2 and DeepSeek V3 is small', async () => {
    const found = await between('kimi-k2', 'deepseek-v3');
    expect(found.map(({ topic }) => topic)).toEqual(['heads', 'positions', 'feedForward', 'experts', 'vocabulary', 'parameters', 'active', 'contextLength']);
    expect(about(found, 'experts')).toEqual({ topic: 'experts', a: '384 experts', b: '256 experts', sentence: 'Kimi-K2-Instruct chooses among 384 experts; DeepSeek-V3 chooses among 256 experts.' });
    expect(about(found, 'feedForward')?.sentence).toMatch(/in the other one; DeepSeek-V3 .* in the other 3\.$/);
  });

  it('of mixtures names shared experts and widths', async () => {
    const found = await between('qwen3-30b-a3b', 'deepseek-v2-lite');
    expect(about(found, 'sharedExperts')?.sentence).toBe('Qwen3-30B-A3B has no shared expert; DeepSeek-V2-Lite has 2 shared experts.');
    expect(about(found, 'expertWidth')).toMatchObject({ a: 'experts of width 768', b: 'experts of width 1,408' });
    expect(about(found, 'expertsPerToken')).toMatchObject({ a: '8 experts', b: '6 experts' });
  });

  it('of norms', async () => {
    expect(about(await between('olmo-2-1124-7b', 'gemma-3-1b'), 'normPlacement')?.sentence).toBe('OLMo-2-1124-7B norms what each sublayer gives, inside the residual; gemma-3-1b-it norms both what each sublayer reads and what it gives.');
    expect(about(await between('olmo-2-1124-7b', 'qwen3-8b'), 'qkNorm')?.sentence).toBe('OLMo-2-1124-7B norms queries and keys over their whole projection; Qwen3-8B norms queries and keys per head.');
    expect(about(await between('gpt2-xl', 'qwen3-8b'), 'normKind')?.sentence).toBe('gpt2-xl norms with LayerNorm; Qwen3-8B norms with RMSNorm.');
  });

  it.each([['gpt2-xl', 'llama-4-scout'], ['smollm3-3b', 'gemma-3-4b'], ['qwen3-0.6b', 'kimi-k2']])('of %s and %s is the same the other way round', async (a, b) => {
    const [there, back] = [await between(a, b), await between(b, a)];
    expect(there.length).toBeGreaterThan(8);
    expect(back.map(({ topic, a: x, b: y }) => ({ topic, a: y, b: x }))).toEqual(there.map(({ topic, a: x, b: y }) => ({ topic, a: x, b: y })));
    for (const { sentence, a: x, b: y } of there) {
      expect(x).not.toBe(y);
      expect(sentence).toMatch(/^\S.*[^.]\.$/);
      for (const { name } of [await model(a), await model(b)]) expect(sentence).toContain(name.split('/').at(-1));
    }
  });

  it('of two models of one name tells them apart', async () => {
    const one = await model('qwen3-0.6b');
    const found = diffDescriptions(one, { ...one, contextLength: 8 });
    expect(found).toEqual([{ topic: 'contextLength', a: 40960, b: 8, sentence: 'the first Qwen3-0.6B was made for 40,960 tokens of context, the second Qwen3-0.6B for 8.' }]);
  });

  it('that is hardly one has no ratio', async () => {
    const one = await model('qwen3-0.6b');
    const found = diffDescriptions(one, { ...one, name: 'near', parameters: { ...one.parameters, total: one.parameters.total + 2e6 } });
    expect(found.map(({ sentence }) => sentence)).toEqual(['near has 598.0M parameters, Qwen3-0.6B 596.0M.']);
  });
});
