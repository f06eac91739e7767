// 64-bit addresses: when they are taken, and that above 4 GiB every op and every reference model gives
// the bits that it gives with 32-bit ones.

import { beforeAll, describe, expect, it } from 'vitest';
import { openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { apply, Device, fromArray, scope } from '../../src/tensor/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { modelDirectory, titled } from '../support.js';
import { differences, highBackend } from './high.js';
import { leastMemory } from './least_memory.js';
import { sameBits, stepLogits } from './steps.js';
import { hasMemory64, inMemory64, wasm } from './support.js';

const GIB = 2 ** 30;
const NAMES = [
  'gpt2', 'llama3', 'olmo2', 'olmo3', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'deepseek_v2_lite', 'kimi_k2', 'deepseek_v3_fp8',
];

beforeAll(() => buildWasm(cacheFolder));

describe.skipIf(!hasMemory64)(inMemory64('64-bit addresses'), () => {
  it.each([1, 3].flatMap((threads) => [false, true].map((relaxedSimd) => ({ threads, relaxedSimd }))))('every op gives the same bits: $threads threads, relaxed SIMD $relaxedSimd', async (options) => {
    expect(await differences(options)).toEqual([]);
  });

  for (const name of NAMES) it.skipIf(!modelDirectory(name))(titled(name), async () => {
    const checkpoint = await openCheckpoint(await resolveSource(modelDirectory(name)!));
    const [low, high] = [await stepLogits(checkpoint, await wasm({ threads: 2, memory64: false })), await stepLogits(checkpoint, await highBackend({ threads: 2 }))];
    high.forEach((logits, i) => expect(sameBits(logits, low[i])).toBe(true));
    await checkpoint.close();
  });

  it.skipIf(!modelDirectory('qwen3_moe'))(`experts and layers fetched to places above 4 GiB: ${titled('qwen3_moe')}`, async () => {
    const checkpoint = await openCheckpoint(await resolveSource(modelDirectory('qwen3_moe')!));
    const memory = await leastMemory('qwen3_moe', () => true);
    const [low, high] = [await stepLogits(checkpoint, await wasm({ threads: 2, memory64: false })), await stepLogits(checkpoint, await highBackend({ threads: 2 }), { memory, contextLength: 64 })];
    high.forEach((logits, i) => expect(sameBits(logits, low[i])).toBe(true));
    await checkpoint.close();
  });

  it.each([[3 * GIB, 0, 4], [5 * GIB, 0, 16], [3 * GIB, 2 * GIB, 16]])('%i bytes and %i later: %i GiB can be had', async (bytes, later, most) => {
    const backend = await wasm({ threads: 2 });
    expect(backend.capacity).toBe(16 * GIB);
    await backend.reserve(bytes, later);
    expect(Math.ceil(backend['heap'].capacity / GIB)).toBe(most);
    const device = new Device(backend);
    expect([...await scope(() => apply('add', [2, 3].map((x) => fromArray(device, [2], Float32Array.of(x, x))))[0].retain()).toFloat32()]).toEqual([5, 5]);
    backend.dispose();
  });

  it('are not taken once something lies in memory, nor where they are forbidden', async () => {
    const [backend, forbidden] = [await wasm({ threads: 1 }), await wasm({ threads: 1, memory64: false })];
    backend.write(backend.alloc(4), 0, new Uint8Array(4));
    await expect(backend.reserve(5 * GIB)).rejects.toThrow(/MiB more cannot be had: \d+ MiB are in use and a model may take 4096 MiB/);
    await expect(forbidden.reserve(5 * GIB)).rejects.toThrow('5120 MiB cannot be had: a model may take 4096 MiB; with 64-bit addresses');
    for (const each of [backend, forbidden]) each.dispose();
  });

  it('take no more than 16 GiB', async () => {
    const backend = await highBackend({ threads: 1 });
    await expect(backend.reserve(17 * GIB)).rejects.toThrow(/17408 MiB cannot be had: a model may take 16384 MiB$/);
    await expect(backend.reserve(13 * GIB)).rejects.toThrow(/MiB more cannot be had: \d+ MiB are in use and a model may take 16384 MiB/);
    backend.dispose();
  });
});

it('cannot be asked for without shared memory', async () => {
  await expect(wasm({ memory64: true, workers: false })).rejects.toThrow('memory64 needs Node 24 or newer');
});
