// Every family computes what Hugging Face transformers computes, from the checkpoint as it is:
// logits, every layer's output, and the greedy continuation by every road the engine has.

import { cpSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Model } from '../../src/index.js';
import { largest } from '../../src/generate/index.js';
import { loadModel } from '../../src/index.js';
import { loadReference, modelDirectory, readArrays, relativeError, titled } from '../support.js';

const complete = [
  'gpt2', 'llama3', 'olmo2', 'olmo3', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'deepseek_v2_lite', 'kimi_k2',
];
const oneConfig = ['deepseek_v3_fp8', 'gemma3_multimodal', 'mistral3_multimodal', 'llama4_multimodal'];
const PROMPT = 11;
const TOLERANCE = 1e-4;

/** The same weights under the newer config schema. */
async function loadNewSchema(name: string): Promise<{ model: Model; remove(): void }> {
  const directory = mkdtempSync(join(tmpdir(), 'lamella-'));
  cpSync(modelDirectory(name)!, directory, { recursive: true });
  copyFileSync(join(directory, 'config.v5.json'), join(directory, 'config.json'));
  return { model: await loadModel(directory, { backend: 'reference' }), remove: () => rmSync(directory, { recursive: true }) };
}

async function expectLogits(model: Model, name: string): Promise<void> {
  const reference = await readArrays(join(modelDirectory(name)!, 'reference.safetensors'));
  const [ids, logits] = [reference.get('input_ids')!, reference.get('logits')!];
  const [sequences, tokens, vocab] = logits.shape;
  for (let s = 0; s < sequences; s++) {
    const got = await model.logits([...ids.data.slice(s * tokens, (s + 1) * tokens)]);
    expect(got.shape).toEqual([tokens, vocab]);
    expect(relativeError(got.data, logits.data.slice(s * tokens * vocab, (s + 1) * tokens * vocab))).toBeLessThan(TOLERANCE);
  }
}

for (const name of [...complete, ...oneConfig]) {
  describe.skipIf(!modelDirectory(name))(titled(name), () => {
    let model: Model;
    let reference: Awaited<ReturnType<typeof readArrays>>;
    let ids: number[];

    beforeAll(async () => {
      model = await loadReference(name);
      reference = await readArrays(join(modelDirectory(name)!, 'reference.safetensors'));
      ids = [...reference.get('input_ids')!.data.slice(0, reference.get('input_ids')!.shape[1])];
    });
    afterAll(async () => {
      await model.dispose();
      expect(model.engine.device.liveBytes).toBe(0);
    });

    it('gives the reference logits', () => expectLogits(model, name));

    if (complete.includes(name)) it('gives them under the newer config schema too', async () => {
      const { model: other, remove } = await loadNewSchema(name);
      try {
        await expectLogits(other, name);
      } finally {
        await other.dispose();
        remove();
      }
    });

    it('gives every recorded hidden state through trace()', async () => {
      const recorded = [...reference.keys()].filter((key) => key.startsWith('hidden_states.')).length;
      if (name === 'deepseek_v3_fp8') return expect(recorded).toBe(0);
      const seen = await model.trace(ids);
      expect(seen.size).toBe(recorded + 2);
      for (let i = 0; i < recorded; i++) {
        const key = i === 0 ? 'embeddings' : i === recorded - 1 ? 'norm' : `layers.${i - 1}`;
        expect(relativeError(seen.get(key)!.data, reference.get(`hidden_states.${i}`)!.data), key).toBeLessThan(TOLERANCE);
      }
      expect(relativeError(seen.get('logits')!.data, (await model.logits(ids)).data)).toBe(0);
    });

    it('continues greedily as the reference does, by every road', async () => {
      const greedy = reference.get('greedy');
      if (name === 'deepseek_v3_fp8') return expect(greedy).toBeUndefined();
      const want = [...greedy!.data];
      const prompt = ids.slice(0, PROMPT);
      expect(await generated(model, prompt, want.length), 'paged cache, replayed').toEqual(want);
      expect(model.engine.runner.counts.replays).toBeGreaterThan(0);
      expect(await inChunks(model, prompt, want.length), 'prompt in three chunks').toEqual(want);
      expect(await cutBack(model, prompt, want), 'cut back and extended').toEqual(want);
      expect(await packed(model, prompt, ids, want.length), 'two sequences in one step').toEqual(want);
      const plain = await loadReference(name, { replay: false });
      expect(await generated(plain, prompt, want.length), 'not replayed').toEqual(want);
      expect(plain.engine.runner.counts.replays).toBe(0);
      await plain.dispose();
    });
  });
}

async function generated(model: Model, prompt: readonly number[], count: number): Promise<number[]> {
  const tokens: number[] = [];
  for await (const piece of model.generate(prompt, { maxTokens: count, temperature: 0, ignoreEos: true })) tokens.push(piece.token);
  return tokens;
}

async function greedyFrom(model: Model, sequence: ReturnType<Model['sequence']>, first: number, count: number): Promise<number[]> {
  const tokens = [first];
  while (tokens.length < count) tokens.push(largest((await model.step([{ sequence, tokens: [tokens.at(-1)!] }]))[0]));
  return tokens;
}

async function inChunks(model: Model, prompt: readonly number[], count: number): Promise<number[]> {
  const sequence = model.sequence();
  await model.step([{ sequence, tokens: prompt.slice(0, 3), logits: 'none' }]);
  await model.step([{ sequence, tokens: prompt.slice(3, 8), logits: 'all' }]);
  const [logits] = await model.step([{ sequence, tokens: prompt.slice(8) }]);
  const tokens = await greedyFrom(model, sequence, largest(logits), count);
  sequence.dispose();
  return tokens;
}

/** Runs on past the prompt with other tokens, cuts back, and takes the right road. */
async function cutBack(model: Model, prompt: readonly number[], want: readonly number[]): Promise<number[]> {
  const sequence = model.sequence();
  await model.step([{ sequence, tokens: prompt }]);
  await model.step([{ sequence, tokens: want.slice(0, 9), logits: 'none' }]);
  await model.step([{ sequence, tokens: [5, 6, 7, 8], logits: 'none' }]);
  sequence.truncate(prompt.length + 4);
  const [logits] = await model.step([{ sequence, tokens: [want[4]] }]);
  const tokens = [...want.slice(0, 5), ...await greedyFrom(model, sequence, largest(logits), want.length - 5)];
  sequence.dispose();
  return tokens;
}

/** Prefill and decode of two sequences in the same steps, one prefilling while the other decodes. */
async function packed(model: Model, prompt: readonly number[], other: readonly number[], count: number): Promise<number[]> {
  const [a, b] = [model.sequence(), model.sequence()];
  const alone = model.sequence();
  const [wantOther] = await model.step([{ sequence: alone, tokens: other.slice(0, 30) }]);
  let [logits] = await model.step([{ sequence: a, tokens: prompt }, { sequence: b, tokens: other.slice(0, 7), logits: 'none' }]);
  const tokens: number[] = [];
  let otherLogits = new Float32Array(0);
  for (let i = 0; tokens.length < count; i++) {
    tokens.push(largest(logits));
    const more = other.slice(7 + i, 8 + i);
    const both = i < 23;
    const results = await model.step([{ sequence: a, tokens: [tokens.at(-1)!] }, ...(both ? [{ sequence: b, tokens: more }] : [])]);
    [logits] = results;
    if (i === 22) otherLogits = results[1] as Float32Array<ArrayBuffer>;
  }
  expect(relativeError(otherLogits, wantOther)).toBeLessThan(TOLERANCE);
  for (const sequence of [a, b, alone]) sequence.dispose();
  return tokens;
}
