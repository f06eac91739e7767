// Memory, arithmetic and layers of known models against counts written out by hand; sources of
// every kind; comparisons.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe as group, expect, it } from 'vitest';
import { compare, describe } from '../../src/analysis/index.js';
import { findPublished, publishedNames, similarPublished } from '../../src/models/published.js';
import { modelDirectory, titled } from '../support.js';

group('the KV cache', () => {
  it('of Gemma 3 27B forgets what is behind the windows', async () => {
    const model = await describe('gemma-3-27b-it');
    // 62 layers of 16 key heads x 128, keys and values, 2 bytes: 8,192 B a token and layer; every
    // sixth layer (10 of them) keeps all, the other 52 keep the last 1,024.
    const layer = 2 * 16 * 128 * 2;
    expect(layer).toBe(8192);
    expect(model.kvBytesPerToken).toBe(62 * layer);
    expect(model.kvBytes(1024)).toBe(62 * 1024 * layer);
    expect(model.kvBytes(8192)).toBe((10 * 8192 + 52 * 1024) * layer);
    expect(model.kvBytes(131072)).toBe((10 * 131072 + 52 * 1024) * layer);
    expect(model.kvAtContext).toBe(model.kvBytes(8192));
    expect(model.kvAtContextLength).toBe(model.kvBytes(131072));
  });

  it('of Llama 4 Scout keeps at most a chunk on three of four layers', async () => {
    const model = await describe('llama-4-scout');
    const layer = 2 * 8 * 128 * 2;
    expect(model.kvBytesPerToken).toBe(48 * layer);
    expect(model.kvBytes(1024)).toBe(48 * 1024 * layer);
    expect(model.kvBytes(8192)).toBe(48 * 8192 * layer);
    expect(model.kvBytes(131072)).toBe((12 * 131072 + 36 * 8192) * layer);
  });

  it('of DeepSeek V3 is one latent row', async () => {
    const model = await describe('deepseek-v3');
    expect(model.kvBytesPerToken).toBe(61 * (512 + 64) * 2);
    expect(model.kvBytes(100)).toBe(100 * 70272);
  });
});

group('the arithmetic of a decode step', () => {
  it('of GPT-2 at 1,024 tokens', async () => {
    const model = await describe('gpt2', { context: 1024 });
    const D = 768;
    // Each layer: qkv D x 3D, output D x D, up D x 4D, down 4D x D; the head is D x 50,257.
    const matrices = 2 * (12 * (3 * D * D + D * D + 4 * D * D + 4 * D * D) + D * 50257);
    // Each of 12 heads of 64 takes a dot product with 1,024 keys and sums as many values.
    const attention = 12 * (2 * 1024 * 12 * (64 + 64));
    // Layer norms at 7 per number (two a layer, one at the end), GELU at 10, residuals and positions at 1.
    const other = 7 * D * 25 + 12 * (10 * 4 * D + 2 * D) + D;
    expect(model.decode.flops).toEqual({ total: matrices + attention + other, matrices, attention, other });
    // All weights but the position table are read, in two bytes, and the cache.
    const read = 2 * (124_439_808 - 1024 * D) + 36_864 * 1024;
    expect(model.decode.bytesRead).toBeGreaterThan(read);
    expect(model.decode.bytesRead).toBeLessThan(read * 1.02);
  });

  it('of Qwen3-8B at 8,192 tokens', async () => {
    const model = await describe('qwen3-8b', { context: 8192 });
    const [D, N, K, H, F, L, V] = [4096, 32, 8, 128, 12288, 36, 151936];
    const matrices = 2 * (L * (D * N * H + 2 * D * K * H + N * H * D + 3 * D * F) + D * V);
    const attention = L * (2 * 8192 * N * (H + H));
    // RMS norms at 4 (two a layer and the last over D; over every query and key head), RoPE at 3 on
    // the same heads, SiLU at 5 and its product at 1, two residuals.
    const other = 4 * D * (2 * L + 1) + L * (4 * (N + K) * H + 3 * (N + K) * H + 6 * F + 2 * D);
    expect(model.decode.flops).toEqual({ total: matrices + attention + other, matrices, attention, other });
  });

  it('of a mixture of experts counts the experts that a token passes', async () => {
    const model = await describe('qwen3-30b-a3b', { context: 1 });
    const [D, N, K, H, L, V] = [2048, 32, 4, 128, 48, 151936];
    const experts = 8 * 3 * D * 768;
    expect(model.decode.flops.matrices).toBe(2 * (L * (D * N * H + 2 * D * K * H + N * H * D + D * 128 + experts) + D * V));
  });

  it('of a batch multiplies arithmetic and caches, not weights', async () => {
    const [one, eight] = [await describe('qwen3-8b'), await describe('qwen3-8b', { batch: 8 })];
    expect(eight.decode.flops.total).toBe(8 * one.decode.flops.total);
    expect(eight.decode.flops.attention).toBe(8 * one.decode.flops.attention);
    const cache = one.kvBytes(8192);
    expect(eight.decode.bytesRead - one.decode.bytesRead).toBeGreaterThan(7 * cache);
    expect(eight.decode.bytesRead - one.decode.bytesRead).toBeLessThan(7 * cache * 1.02);
  });

  it('sees windows: attention stops growing but for the global layers', async () => {
    const [short, long] = [await describe('gemma-3-27b', { context: 1024 }), await describe('gemma-3-27b', { context: 4096 })];
    expect(long.decode.flops.attention - short.decode.flops.attention).toBe(10 * 2 * 3072 * 32 * 256);
  });

  it('of a prefill is causal: each token attends to those before it', async () => {
    const model = await describe('gpt2', { context: 100 });
    expect(model.prefill.flops.attention).toBe(12 * 2 * ((100 * 101) / 2) * 12 * 128);
    expect(model.prefill.flops.matrices).toBe(2 * (100 * 12 * 12 * 768 * 768 + 768 * 50257));
  });
});

group('layers', () => {
  it('of DeepSeek V3', async () => {
    const { layers } = await describe('deepseek-v3');
    expect(layers.length).toBe(61);
    const heads = { attention: 'MLA', reach: 'full', heads: 128, kvHeads: 1, headDim: 192, valueDim: 128, latent: { rank: 512, rope: 64 } };
    const rope = { theta: 10000, stretch: 40, width: 64, layout: 'interleaved' };
    expect(layers[2]).toMatchObject({ index: 2, ...heads, rope, norms: 'pre', qkNorm: 'latent', mlp: { kind: 'dense', hidden: 18432, activation: 'silu', gated: true } });
    expect(layers[3]).toMatchObject({ index: 3, ...heads, mlp: { kind: 'moe', experts: 256, perToken: 8, hidden: 2048, shared: 1, sharedHidden: 2048, activation: 'silu', gated: true } });
    expect(layers[3].active).toBe(layers[3].parameters - 248 * 3 * 7168 * 2048);
  });

  it('of Gemma 3: five windows to one global layer, norms on both sides', async () => {
    const { layers } = await describe('gemma-3-4b-it');
    expect(layers.map(({ window }) => window).slice(0, 6)).toEqual([1024, 1024, 1024, 1024, 1024, null]);
    expect(layers[0]).toMatchObject({ attention: 'GQA', reach: 'sliding', rope: { theta: 10000, stretch: 1 }, norms: 'pre+post', qkNorm: 'per head', mlp: { activation: 'gelu_tanh', gated: true } });
    expect(layers[5]).toMatchObject({ reach: 'full', rope: { theta: 1e6, stretch: 8 } });
  });

  it('of Llama 4 Scout: chunks with RoPE, every fourth without positions', async () => {
    const { layers } = await describe('llama-4-scout');
    expect(layers[2]).toMatchObject({ reach: 'chunked', chunk: 8192, rope: { theta: 500000 }, qkNorm: 'per head, no weight' });
    expect(layers[3]).toMatchObject({ reach: 'full', chunk: null, rope: null, qkNorm: null });
    expect(layers[0].mlp).toEqual({ kind: 'moe', experts: 16, perToken: 1, hidden: 8192, shared: 1, sharedHidden: 8192, activation: 'silu', gated: true });
  });

  it('of GPT-2, OLMo 2, SmolLM3 and Mistral', async () => {
    const [gpt2, olmo, smol, mistral] = await Promise.all(['gpt2', 'olmo-2-1124-7b', 'smollm3-3b', 'mistral-small-3.1'].map((name) => describe(name)));
    expect(gpt2).toMatchObject({ learnedPositions: 1024, tiedHead: true, context: 1024 });
    expect(gpt2.layers[0]).toMatchObject({ attention: 'MHA', heads: 12, headDim: 64, rope: null, norms: 'pre', qkNorm: null, mlp: { kind: 'dense', hidden: 3072, activation: 'gelu_tanh', gated: false } });
    expect(olmo.layers[0]).toMatchObject({ attention: 'MHA', norms: 'post', qkNorm: 'whole projection', rope: { theta: 500000, layout: 'half' } });
    expect(smol.layers.flatMap(({ rope, index }) => (rope ? [] : [index]))).toEqual([3, 7, 11, 15, 19, 23, 27, 31, 35]);
    expect(mistral.layers[0]).toMatchObject({ attention: 'GQA', heads: 32, kvHeads: 8, headDim: 128, rope: { theta: 1e9 } });
  });

  it.each([
    ['llama-3.2-1b', [{ theta: 500000, stretch: 32 }]], ['qwen3-8b', [{ theta: 1e6, stretch: 1 }]], ['kimi-k2', [{ theta: 50000, stretch: 32 }]],
    ['gemma-3-27b', [{ theta: 1e4, stretch: 1 }, { theta: 1e6, stretch: 8 }]], ['deepseek-v2-lite', [{ theta: 1e4, stretch: 40 }]],
  ] as const)('of %s have the theta and stretch of its config', async (name, want) => {
    const { layers } = await describe(name);
    const seen = new Map(layers.map(({ rope }) => [JSON.stringify(rope), rope]));
    expect([...seen.values()].map((rope) => ({ theta: rope!.theta, stretch: rope!.stretch }))).toEqual(want);
  });

  it.each(['deepseek_v3', 'llama3', 'gemma3', 'smollm3', 'qwen3'].filter(modelDirectory))('of the small %s too, where scaling touches every pair', async (name) => {
    const directory = modelDirectory(name)!;
    const { rope_theta } = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as { rope_theta: number };
    const { layers } = await describe(directory);
    expect(layers.some(({ rope }) => rope?.theta === rope_theta)).toBe(true);
    expect(layers.every(({ rope }) => rope === null || rope.theta !== null)).toBe(true);
  });

  it('of one key head is MQA', async () => {
    expect((await describe('gemma-3-1b-it')).layers[0]).toMatchObject({ attention: 'MQA', heads: 4, kvHeads: 1 });
  });
});

it('takes a moment at the longest context there is', async () => {
  const started = performance.now();
  const model = await describe('llama-4-scout', { context: 10_485_760 });
  expect(model.kvAtContext).toBe((12 * 10_485_760 + 36 * 8192) * 4096);
  // All tokens see those before them on 12 layers, those of their chunk on 36: 1,280 whole chunks.
  const pairs = (tokens: number) => (tokens * (tokens + 1)) / 2;
  const seen = 12 * pairs(10_485_760) + 36 * 1280 * pairs(8192);
  expect(Math.abs(model.prefill.flops.attention / (2 * 40 * 256 * seen) - 1)).toBeLessThan(1e-9);
  expect(performance.now() - started).toBeLessThan(5000);
});

it('takes far less than two seconds for the largest release', async () => {
  const started = performance.now();
  await describe('kimi-k2');
  expect(performance.now() - started).toBeLessThan(2000);
});

group('sources', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'lamella-'));
    mkdirSync(join(directory, 'my-model'));
    writeFileSync(join(directory, 'my-model', 'config.json'), JSON.stringify(findPublished('qwen3-0.6b')!.config));
    writeFileSync(join(directory, 'other.json'), JSON.stringify(findPublished('gpt2')!.config));
    writeFileSync(join(directory, 'cut.json'), '{"model_type": "gpt2",');
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('are built-in names and hub ids, in any case', async () => {
    expect((await describe('qwen3-0.6b')).name).toBe('Qwen/Qwen3-0.6B');
    expect((await describe('Qwen/Qwen3-0.6B')).parameters).toEqual({ ...(await describe('QWEN3-0.6B')).parameters, stored: null });
  });

  it('are config.json files, named after their folder', async () => {
    expect(await describe(join(directory, 'my-model', 'config.json'))).toMatchObject({ name: 'my-model', family: 'qwen3', parameters: { total: 596049920, stored: null } });
    expect(await describe(join(directory, 'other.json'))).toMatchObject({ name: 'other', family: 'gpt2' });
    await expect(describe(join(directory, 'cut.json'))).rejects.toThrow(/cut\.json is not valid JSON/);
  });

  it('are directories, which must hold weights', async () => {
    await expect(describe(join(directory, 'my-model'))).rejects.toThrow(/my-model has no model\.safetensors/);
    expect((await describe(join(directory, 'my-model'), { headers: false })).parameters.total).toBe(596049920);
  });

  it('that nothing answers to give an error with what was tried and what is near', async () => {
    await expect(describe(join(directory, 'absent'))).rejects.toThrow(/there is no file or directory/);
    await expect(describe('no such model!')).rejects.toThrow(/no built-in model is called "no such model!"; there is no file or directory .* is not a hub id/);
    await expect(describe('qwen 3 8b')).rejects.toThrow(/near it: .*qwen3-8b/);
  });

  for (const name of ['qwen3_moe', 'deepseek_v3_fp8', 'gemma3_multimodal', 'gpt2']) {
    it.skipIf(!modelDirectory(name))(`are checkpoints, whose stored tensors are counted: ${titled(name)}`, async () => {
      const model = await describe(modelDirectory(name)!);
      expect(model.parameters.stored).toBeGreaterThanOrEqual(model.parameters.total);
      // Scales are not parameters, and are not skipped either.
      expect(model.skippedTensors.filter((tensor) => tensor.endsWith('_scale_inv') && !tensor.includes('layers.3'))).toEqual([]);
      if (name === 'gemma3_multimodal') {
        expect(model.skippedTensors.length).toBeGreaterThan(0);
        expect(model.skippedTensors.every((tensor) => /vision_tower|multi_modal_projector|lm_head/.test(tensor))).toBe(true);
      }
    });
  }
});

group('published names', () => {
  it('resolve when one model can be meant, to its tuned release', () => {
    const wanted = {
      'gemma-3-27b': 'google/gemma-3-27b-it', 'mistral-small-3.1': 'mistralai/Mistral-Small-3.1-24B-Instruct-2503',
      'llama-4-maverick': 'meta-llama/Llama-4-Maverick-17B-128E-Instruct', 'llama-4-scout': 'meta-llama/Llama-4-Scout-17B-16E-Instruct',
      'kimi-k2': 'moonshotai/Kimi-K2-Instruct', 'gpt2': 'gpt2', 'gpt2-xl': 'gpt2-xl', 'deepseek-v3': 'deepseek-ai/DeepSeek-V3',
      'olmo-2-1124-7b': 'allenai/OLMo-2-1124-7B', 'qwen3-235b-a22b': 'Qwen/Qwen3-235B-A22B', 'smollm3-3b': 'HuggingFaceTB/SmolLM3-3B',
      'smollm3': 'HuggingFaceTB/SmolLM3-3B', 'llama-3.2-1b': 'meta-llama/Llama-3.2-1B', 'google/gemma-3-4b-pt': 'google/gemma-3-4b-pt',
    };
    for (const [name, hubId] of Object.entries(wanted)) expect(findPublished(name)?.hubId, name).toBe(hubId);
  });

  it('do not resolve when several sizes, or none, could be meant', () => {
    for (const name of ['gemma-3', 'qwen3', 'gpt', '', 'gpt3', 'constructor', '__proto__']) expect(findPublished(name), name).toBeUndefined();
    expect(similarPublished('gemma-3')).toContain('gemma-3-270m');
    expect(similarPublished('')).toEqual([]);
  });

  it('are unique, in lower case', () => {
    expect(new Set(publishedNames).size).toBe(45);
    for (const name of publishedNames) expect(name).toBe(name.toLowerCase());
  });
});

group('compare', () => {
  it('lines figures up and tells which differ', async () => {
    const { models, rows } = await compare('qwen3-0.6b', 'qwen3-1.7b');
    expect(models.map(({ name }) => name)).toEqual(['Qwen/Qwen3-0.6B', 'Qwen/Qwen3-1.7B']);
    const row = (key: string) => rows.find((other) => other.key === key)!;
    expect(row('parameters')).toMatchObject({ values: [596049920, 1720574976], differs: true });
    expect(row('kvBytesPerToken')).toMatchObject({ values: [114688, 114688], differs: false });
    expect(row('attention').values).toEqual(['GQA, 16 heads of 128, 8 kv', 'GQA, 16 heads of 128, 8 kv']);
    expect(row('context').values).toEqual([8192, 8192]);
  });

  it('takes a list with options, configs included', async () => {
    const { models, rows } = await compare([findPublished('gpt2')!.config, 'gemma-3-27b'], { context: 131072 });
    expect(models.map(({ context }) => context)).toEqual([1024, 131072]);
    expect(rows.find(({ key }) => key === 'reach')!.values).toEqual(['full', '52 x window 1,024; 10 x full']);
    expect(rows.find(({ key }) => key === 'kvAtContext')!.values).toEqual([36864 * 1024, (10 * 131072 + 52 * 1024) * 8192]);
  });

  it('needs models', async () => {
    await expect(compare([])).rejects.toThrow(/nothing to compare/);
  });
});
