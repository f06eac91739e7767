// Whole models on the GPU: the reference's logits within 1e-3 and its greedy tokens, from prefill
// and from replayed decode steps; every layer of Qwen3; every weight format.

import { gpuKind } from './support.js';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBackend } from '../../src/backends/webgpu/index.js';
import type { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import type { LoadOptions, Model } from '../../src/index.js';
import { loadReference, modelDirectory, readArrays, relativeError, titled } from '../support.js';

const complete = ['gpt2', 'llama3', 'olmo2', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'deepseek_v2_lite', 'kimi_k2'];
const logitsOnly = ['deepseek_v3_fp8', 'gemma3_multimodal', 'mistral3_multimodal', 'llama4_multimodal'];
const PROMPT = 11;
const TOLERANCE = 1e-3;
const on = (name: string) => `${titled(name)}${gpuKind ? ` on ${gpuKind}` : " (needs a GPU, or Chromium's SwiftShader)"}`;
const missing = (name: string): boolean => !gpuKind || !modelDirectory(name);

// Models share the device of their process; this backend keeps it open between them.
let keeper: WebGpuBackend | undefined;
beforeAll(async () => { keeper = gpuKind && await createBackend(); });
afterAll(() => keeper?.dispose());

const onGpu = (name: string, options: LoadOptions = {}): Promise<Model> => loadReference(name, { backend: 'webgpu', ...options });

async function close(model: Model): Promise<void> {
  await model.dispose();
  expect(model.engine.device.liveBytes).toBe(0);
  expect((model.engine.device.backend as WebGpuBackend).counts).toMatchObject({ buffers: 0, usedBytes: 0, idleBytes: 0 });
}

async function continued(model: Model, prompt: readonly number[], count: number): Promise<number[]> {
  const tokens: number[] = [];
  for await (const { token } of model.generate(prompt, { maxTokens: count, temperature: 0, ignoreEos: true })) tokens.push(token);
  return tokens;
}

for (const name of [...complete, ...logitsOnly]) {
  it.skipIf(missing(name))(on(name), async () => {
    const model = await onGpu(name);
    const reference = await readArrays(join(modelDirectory(name)!, 'reference.safetensors'));
    const [ids, logits] = [reference.get('input_ids')!, reference.get('logits')!];
    const tokens = ids.shape[1];
    const first = [...ids.data.slice(0, tokens)];
    const got = await model.logits(first);
    expect(relativeError(got.data, logits.data.slice(0, tokens * logits.shape[2]))).toBeLessThan(TOLERANCE);
    const greedy = reference.get('greedy');
    expect(greedy !== undefined).toBe(name !== 'deepseek_v3_fp8');
    if (greedy && complete.includes(name)) {
      expect(await continued(model, first.slice(0, PROMPT), greedy.data.length)).toEqual([...greedy.data]);
      expect(model.engine.runner.counts.replays).toBeGreaterThan(0);
    }
    await close(model);
  });
}

describe.skipIf(missing('qwen3'))(on('qwen3'), () => {
  let ids: number[];
  beforeAll(async () => {
    const { data, shape } = (await readArrays(join(modelDirectory('qwen3')!, 'reference.safetensors'))).get('input_ids')!;
    ids = [...data.slice(0, shape[1])];
  });

  it('gives the reference of every part of every layer', async () => {
    const [gpu, cpu] = [await onGpu('qwen3'), await loadReference('qwen3')];
    const capture = ['embeddings', 'layers.*', 'layers.*.*', 'layers.*.self_attn.*_proj', 'layers.*.self_attn.*_norm', 'layers.*.mlp.*', 'norm', 'logits'];
    const [got, want] = [await gpu.trace(ids, { capture }), await cpu.trace(ids, { capture })];
    expect(want.size).toBeGreaterThan(20);
    expect([...got.keys()]).toEqual([...want.keys()]);
    for (const [path, { data }] of want) expect(relativeError(got.get(path)!.data, data), path).toBeLessThan(1e-4);
    await close(gpu);
    await cpu.dispose();
  });

  for (const weights of ['f32', 'f16', 'q8_0'] as const) it(`runs ${weights} weights`, async () => {
    const [gpu, cpu] = [await onGpu('qwen3', { weights }), await loadReference('qwen3', { weights })];
    const want = await cpu.logits(ids);
    expect(relativeError((await gpu.logits(ids)).data, want.data)).toBeLessThan(1e-4);
    expect(await continued(gpu, ids.slice(0, PROMPT), 4)).toEqual(await continued(cpu, ids.slice(0, PROMPT), 4));
    await close(gpu);
    await cpu.dispose();
  });

  it('keeps keys and values in f16, in stores that grow', async () => {
    const many = Array.from({ length: 300 }, (_, i) => (i * 31) % 272);
    const outcome = async (model: Model) => {
      const sequence = model.sequence();
      for (let at = 0; at < many.length; at += 100) await model.step([{ sequence, tokens: many.slice(at, at + 100), logits: 'none' }]);
      const logits = [];
      for (const token of [7, 8]) logits.push(...(await model.step([{ sequence, tokens: [token] }]))[0]);
      return logits;
    };
    const [gpu, cpu] = [await onGpu('qwen3', { kv: 'f16', contextLength: 512 }), await loadReference('qwen3', { kv: 'f16', contextLength: 512 })];
    expect(relativeError(await outcome(gpu), await outcome(cpu))).toBeLessThan(2e-3);
    await cpu.dispose();
    await close(gpu);
  });

  it('takes 6 dispatches a layer when it is replayed', async () => {
    const model = await onGpu('qwen3');
    await continued(model, ids.slice(0, PROMPT), 2);
    const layers = model.engine.decoder.frame.layers.length;
    const [dispatches] = (model.engine.device.backend as WebGpuBackend).counts.plannedDispatches;
    // Around the layers: embed the token, project what the last returns, draw in two.
    expect(dispatches - 4).toBe(6 * layers);
    await close(model);
  });

  it('replays steps of several sequences, padded to a power of two', async () => {
    const [gpu, cpu] = [await onGpu('qwen3'), await loadReference('qwen3')];
    const steps = async (model: Model) => {
      const sequences = [0, 1, 2].map(() => model.sequence());
      await model.step(sequences.map((sequence, i) => ({ sequence, tokens: ids.slice(0, 3 + i * 4), logits: 'none' as const })));
      const rows: Float32Array[] = [];
      for (let i = 0; i < 2; i++) rows.push(...await model.step(sequences.map((sequence) => ({ sequence, tokens: [ids[i]] }))));
      for (const sequence of sequences) sequence.dispose();
      return rows;
    };
    const [got, want] = [await steps(gpu), await steps(cpu)];
    expect(gpu.engine.runner.counts).toMatchObject({ recorded: 1, replays: 2 });
    want.forEach((row, i) => expect(relativeError(got[i], row)).toBeLessThan(1e-4));
    await close(gpu);
    await cpu.dispose();
  });
});
