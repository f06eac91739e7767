// Paged storage over contexts of several pages: windows and chunks forget, cuts recompute what was
// forgotten, storage grows and comes back, and none of it changes a number.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Model } from '../../src/index.js';
import { loadReference, noise, relativeError } from '../support.js';

const TOKENS = 300;
const ids = [...noise(TOKENS, 3)].map((x) => Math.floor(Math.abs(x) * 271));

for (const name of ['gemma3', 'llama4', 'qwen3', 'deepseek_v3']) {
  describe(name, () => {
    let model: Model;
    let want: Float32Array;
    const row = (position: number) => want.slice(position * 272, (position + 1) * 272);
    const context = name === 'deepseek_v3' ? 256 : TOKENS;

    beforeAll(async () => {
      model = await loadReference(name);
      // The unfused definition over all tokens at once, with every page kept while it runs.
      want = (await model.trace(ids.slice(0, context), { capture: ['logits'] })).get('logits')!.data;
    });
    afterAll(async () => {
      await model.dispose();
      expect(model.engine.device.liveBytes).toBe(0);
    });

    it('gives the same numbers token by token over several pages', async () => {
      const sequence = model.sequence();
      await model.step([{ sequence, tokens: ids.slice(0, 50), logits: 'none' }]);
      for (let at = 50; at < context; at++) {
        const [logits] = await model.step([{ sequence, tokens: [ids[at]] }]);
        if (at % 13 === 0 || at > context - 3) expect(relativeError(logits, row(at)), `position ${at}`).toBeLessThan(1e-5);
      }
      sequence.dispose();
    });

    it('keeps only the pages that a layer can still see', async () => {
      const sequence = model.sequence();
      await model.step([{ sequence, tokens: ids.slice(0, context), logits: 'none' }]);
      for (const [i, group] of model.engine.runner.kv.groups.entries()) {
        const kept = sequence.lists[i].filter((page) => page >= 0).length;
        const { window, chunk } = group.mask;
        const all = Math.ceil(context / 64);
        // The next token, at position `context`, sees from its window's or chunk's start.
        const first = window ? context - window + 1 : chunk ? Math.floor(context / chunk) * chunk : 0;
        expect(kept).toBe(all - Math.min(all, Math.floor(first / 64)));
        if (window ?? chunk) expect(kept).toBeLessThan(3);
      }
      sequence.dispose();
      for (const group of model.engine.runner.kv.groups) expect(group.used).toBe(0);
    });

    it('computes again what a cut needs and a window has forgotten', async () => {
      const sequence = model.sequence();
      await model.step([{ sequence, tokens: ids.slice(0, context), logits: 'none' }]);
      sequence.truncate(90);
      const [logits] = await model.step([{ sequence, tokens: [ids[90]] }]);
      expect(relativeError(logits, row(90))).toBeLessThan(1e-5);
      const [rest] = await model.step([{ sequence, tokens: ids.slice(91, 120), logits: 'all' }]);
      expect(relativeError(rest, want.slice(91 * 272, 120 * 272))).toBeLessThan(1e-5);
      expect(() => sequence.truncate(500)).toThrow('cannot cut a sequence of 120 tokens back to 500');
      sequence.dispose();
    });

    it('packs decoding and prefilling sequences of unlike lengths', async () => {
      const lengths = [1, 64, 65, 130, 200];
      const sequences = lengths.map(() => model.sequence());
      await model.step(sequences.map((sequence, i) => ({ sequence, tokens: ids.slice(0, lengths[i]), logits: 'none' as const })));
      const results = await model.step(sequences.map((sequence, i) => ({ sequence, tokens: ids.slice(lengths[i], lengths[i] + (i === 2 ? 9 : 1)) })));
      results.forEach((logits, i) => expect(relativeError(logits, row(lengths[i] + (i === 2 ? 8 : 0)))).toBeLessThan(1e-5));
      const before = model.engine.runner.counts.replays;
      const again = await model.step(sequences.map((sequence) => ({ sequence, tokens: [ids[sequence.length]] })));
      expect(model.engine.runner.counts.replays).toBe(before + 1);
      again.forEach((logits, i) => expect(relativeError(logits, row(sequences[i].length - 1))).toBeLessThan(1e-5));
      for (const sequence of sequences) sequence.dispose();
    });
  });
}

describe('requests that are refused', () => {
  it('says what is wrong and leaves the sequence as it was', async () => {
    const model = await loadReference('qwen3', { contextLength: 16 });
    const sequence = model.sequence();
    await model.step([{ sequence, tokens: [1, 2, 3] }]);
    await expect(model.step([{ sequence, tokens: [272] }])).rejects.toThrow('token id 272 is not in the vocabulary (0 to 271)');
    await expect(model.step([{ sequence, tokens: [1.5] }])).rejects.toThrow('token id 1.5 is not in the vocabulary');
    await expect(model.step([{ sequence, tokens: Array<number>(14).fill(1) }])).rejects.toThrow('17 tokens are more than the context of 16');
    await expect(model.step([{ sequence, tokens: [] }])).rejects.toThrow('at least one new token');
    await expect(model.step([{ sequence, tokens: [1] }, { sequence, tokens: [2] }])).rejects.toThrow('once in a step');
    await expect(model.logits([])).rejects.toThrow('the prompt is empty');
    expect(sequence.length).toBe(3);
    sequence.dispose();
    await expect(model.step([{ sequence, tokens: [1] }])).rejects.toThrow('disposed');
    await model.dispose();
  });

  it('runs steps in the order they were asked for, and none after dispose', async () => {
    const model = await loadReference('qwen3');
    const tell = async (prompt: number[]) => {
      const tokens = [];
      for await (const piece of model.generate(prompt, { maxTokens: 12, ignoreEos: true })) tokens.push(piece.token);
      return tokens;
    };
    const alone = [await tell([1, 2, 3]), await tell([9, 8])];
    expect(await Promise.all([tell([1, 2, 3]), tell([9, 8])])).toEqual(alone);
    const sequence = model.sequence();
    const [, second] = await Promise.all([model.step([{ sequence, tokens: [1, 2] }]), model.step([{ sequence, tokens: [3] }])]);
    expect(relativeError(second[0], (await model.logits([1, 2, 3])).data.slice(2 * 272))).toBeLessThan(1e-6);
    const running = model.step([{ sequence, tokens: [4] }]);
    await model.dispose();
    expect((await running)[0].length).toBe(272);
    await expect(model.step([{ sequence, tokens: [5] }])).rejects.toThrow('the model was disposed');
  });

  it('traces every part, one that runs twice included, and keeps nothing', async () => {
    const model = await loadReference('qwen3');
    await model.trace([1, 2]);
    const before = model.engine.device.liveBytes;
    const seen = await model.trace([1, 2, 3], { capture: ['layers.0.**'] });
    expect(model.engine.device.liveBytes).toBe(before);
    expect(seen.get('layers.0.self_attn.rotary')!.shape).toEqual([3, 4, 32]);
    expect(seen.get('layers.0.self_attn.rotary#2')!.shape).toEqual([3, 2, 32]);
    expect([...seen.keys()].filter((key) => !key.startsWith('layers.0.'))).toEqual([]);
    await model.dispose();
  });

  it('several models live side by side', async () => {
    const [a, b] = [await loadReference('qwen3'), await loadReference('gemma3')];
    const [one, two] = [await a.logits([1, 2, 3]), await b.logits([1, 2, 3])];
    const [again] = await Promise.all([a.logits([1, 2, 3]), b.logits([4, 5])]);
    expect(again.data).toEqual(one.data);
    expect(relativeError(one.data, two.data)).toBeGreaterThan(0.1);
    await a.dispose();
    expect((await b.logits([1, 2, 3])).data).toEqual(two.data);
    await b.dispose();
  });
});
