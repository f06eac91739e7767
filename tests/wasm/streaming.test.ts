// Models whose weights do not all fit: experts and layers fetched from the files on use, with as little
// memory as the planner lets through. The same bits as with everything in memory, and faults while
// fetching are errors in one line.

import { copyFile, mkdtemp, open, readdir, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { WORKSPACE_BYTES } from '../../src/engine/residency.js';
import type { Residency } from '../../src/engine/residency.js';
import { loadModel } from '../../src/index.js';
import type { LoadOptions, Model } from '../../src/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { modelDirectory, titled } from '../support.js';
import { leastMemory } from './least_memory.js';
import { sameBits } from './steps.js';

beforeAll(() => buildWasm(cacheFolder));

const PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38, 46];
const EXPERTS = ['qwen3_moe', 'deepseek_v3', 'deepseek_v3_fp8', 'llama4', 'deepseek_v2_lite', 'kimi_k2'];
const DENSE = ['llama3', 'gpt2', 'gemma3', 'smollm3'];

/** Replaces a tensor's first bytes in a safetensors file. */
async function overwrite(file: string, tensor: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0);
    const length = Number(buffer.readBigUInt64LE());
    const header = JSON.parse((await handle.read(Buffer.alloc(length), 0, length, 8)).buffer.toString()) as Record<string, { data_offsets: [number, number] }>;
    await handle.write(bytes, 0, bytes.length, 8 + length + header[tensor].data_offsets[0]);
  } finally {
    await handle.close();
  }
}

interface Seen { readonly logits: Float32Array; readonly tokens: number[] }

async function seenOf(model: Model): Promise<Seen> {
  const { data: logits } = await model.logits(PROMPT);
  const tokens: number[] = [];
  for await (const { token } of model.generate(PROMPT, { maxTokens: 12, temperature: 0, ignoreEos: true })) tokens.push(token);
  return { logits, tokens };
}

const load = (name: string, options: LoadOptions): Promise<Model> => loadModel(modelDirectory(name)!, { backend: 'wasm', threads: 2, contextLength: 64, ...options });

async function expectSame(name: string, accepts: (residency: Residency) => boolean, options: LoadOptions = {}): Promise<void> {
  const resident = await load(name, options);
  expect(resident.engine.residency?.kind).toBe('resident');
  const expected = await seenOf(resident);
  await resident.dispose();
  const memory = await leastMemory(name, accepts, options);
  for (const threads of [1, 2]) {
    const model = await load(name, { ...options, threads, memory });
    expect(model.engine.residency?.kind).toBe('streamed');
    const { logits, tokens } = await seenOf(model);
    expect(sameBits(logits, expected.logits)).toBe(true);
    expect(tokens).toEqual(expected.tokens);
    const counts = model.engine.device.backend.streamCounts!;
    expect(counts.misses + counts.ahead).toBeGreaterThan(0);
    await model.dispose();
    expect(model.engine.device.liveBytes).toBe(0);
  }
}

describe('experts that are fetched', () => {
  for (const name of EXPERTS) {
    it.skipIf(!modelDirectory(name))(`give the same bits: ${titled(name)}`, () => expectSame(name, ({ layers }) => layers === undefined));
    it.skipIf(!modelDirectory(name))(`with layers too, as little memory as works: ${titled(name)}`, () => expectSame(name, () => true));
  }

  it('in a block format, packed on their way', () => expectSame('qwen3_moe', ({ layers }) => layers === undefined, { weights: 'q8_0' }));

  it('are kept as long as there is room', async () => {
    const least = await leastMemory('qwen3_moe', () => true);
    const missed: number[] = [];
    for (const more of [0, 20_000, 200_000]) {
      const model = await load('qwen3_moe', { memory: least + more });
      await seenOf(model);
      missed.push(model.engine.device.backend.streamCounts?.misses ?? 0);
      await model.dispose();
    }
    expect(missed[1]).toBeLessThan(missed[0]);
    expect(missed[2]).toBeLessThan(missed[1]);
  });
});

describe('layers that are fetched', () => {
  for (const name of DENSE) it.skipIf(!modelDirectory(name))(`give the same bits: ${titled(name)}`, () => expectSame(name, () => true));
  it('are read ahead', async () => {
    const model = await load('llama3', { memory: await leastMemory('llama3', () => true) });
    await seenOf(model);
    const { misses, ahead } = model.engine.device.backend.streamCounts!;
    expect(ahead).toBeGreaterThan(misses);
    await model.dispose();
  });
});

describe('what cannot work', () => {
  it('is refused with the least that would do, and that does', async () => {
    const refused = await load('qwen3_moe', { memory: WORKSPACE_BYTES }).then(() => '', (error: Error) => error.message);
    const [, gigabytes] = /^the weights of .* take .* GB, with cache and workspace more than the 0\.3 GB allowed; the least that would do is ([\d.]+) GB, with layers/.exec(refused) ?? [];
    const model = await load('qwen3_moe', { memory: Number(gigabytes) * 1e9 });
    expect((await model.logits(PROMPT)).shape[0]).toBe(PROMPT.length);
    await model.dispose();
  });

  it('a backend that cannot stream says so', async () => {
    await expect(load('qwen3_moe', { backend: 'reference', memory: WORKSPACE_BYTES })).rejects.toThrow(/or the wasm backend, which streams from the disk$/);
  });

  it('a file that is cut short while it is used: one line, and the next model loads', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lamella-'));
    try {
      const from = modelDirectory('qwen3_moe')!;
      for (const file of await readdir(from)) await copyFile(join(from, file), join(folder, file));
      const model = await loadModel(folder, { backend: 'wasm', threads: 2, contextLength: 64, memory: await leastMemory('qwen3_moe', () => true) });
      await truncate(join(folder, 'model.safetensors'), 20_000);
      await expect(model.logits(PROMPT)).rejects.toThrow(/failed on wasm: .* could not be read: .*model\.safetensors ends at byte/);
      await model.dispose();
      const next = await load('qwen3_moe', {});
      expect((await next.logits(PROMPT)).shape[0]).toBe(PROMPT.length);
      await next.dispose();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('numbers that are none are found when they are fetched, each tensor once', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lamella-'));
    try {
      const from = modelDirectory('qwen3_moe')!;
      for (const file of await readdir(from)) await copyFile(join(from, file), join(folder, file));
      const checkpoint = await openCheckpoint(await resolveSource(folder));
      const tensor = 'model.layers.1.mlp.experts.0.up_proj.weight';
      expect(checkpoint.tensors.get(tensor)!.dtype).toBe('F32');
      await checkpoint.close();
      await overwrite(join(folder, 'model.safetensors'), tensor, new Uint8Array(new Float32Array([NaN]).buffer));
      const warnings: string[] = [];
      const model = await loadModel(folder, { backend: 'wasm', threads: 2, contextLength: 64, memory: await leastMemory('qwen3_moe', () => true), onWarning: (message) => warnings.push(message) });
      expect(warnings).toEqual([]);
      for (let round = 0; round < 2; round++) await model.logits(PROMPT);
      expect(warnings).toEqual([`tensor '${tensor}' in ${join(folder, 'model.safetensors')} holds NaN or infinite numbers`]);
      await model.dispose();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('writing to what is streamed', async () => {
    const model = await load('llama3', { memory: await leastMemory('llama3', () => true) });
    const { backend } = model.engine.device;
    const weight = model.engine.residency!.streaming!.targets[0].parameter.tensor;
    expect(() => backend.write(weight.storage.id, 0, new Uint8Array(4))).toThrow(/is streamed and cannot be written to/);
    await model.dispose();
  });
});
