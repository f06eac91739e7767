// What the machine may do to a model that is loading or running: a worker thread is killed, memory is
// refused. Each gives one clear line, and another model works afterwards.

import { truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { storedParts } from '../../src/engine/index.js';
import { loadModel } from '../../src/index.js';
import type { Model } from '../../src/index.js';
import { buildModel } from '../../src/models/index.js';
import { initialize } from '../../src/training/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { folder, rawFile } from '../checkpoint/helpers.js';
import { answer, expectAnotherModel, greedy, loadSmall, prompt, reason } from '../faults.js';

beforeAll(() => buildWasm(cacheFolder));
afterEach(async () => {
  vi.restoreAllMocks();
  await expectAnotherModel();
});

describe('a worker thread is killed', () => {
  const gone = 'wasm: its worker threads are gone (a worker thread ended by itself): load the model again';
  /** Every worker thread that this process has started, the latest last. */
  const workers: Worker[] = [];
  const remember = (worker: Worker) => void workers.push(worker);
  beforeAll(() => void process.on('worker', remember));
  afterAll(() => void process.off('worker', remember));

  it('while it computes: what waits for it rejects, and so does every later step', async () => {
    const model = await loadSmall();
    await answer(model);
    const computing = model.logits(Array.from({ length: 500 }, (_, i) => i % 200));
    void workers.at(-1)!.terminate();
    expect(await reason(computing)).toBe(gone);
    expect(await reason(model.logits(prompt))).toBe(gone);
    await model.dispose();
    expect(model.engine.device.liveBytes).toBe(0);
  });

  it('between two tokens of an answer', async () => {
    const model = await loadSmall();
    let made: readonly number[] = [];
    const answering = answer(model, async (tokens) => {
      made = [...tokens];
      if (tokens.length === 4) await workers.at(-2)!.terminate();
    });
    expect(await reason(answering)).toBe(gone);
    expect(made).toEqual(greedy.slice(0, 4));
    await model.dispose();
  });

  it('all of them, with two models on them: both say so, and both can be loaded again', async () => {
    const [one, two] = [await loadSmall(), await loadSmall()];
    await Promise.all(workers.slice(-2).map((worker) => worker.terminate()));
    for (const model of [one, two]) {
      expect(await reason(answer(model))).toBe(gone);
      await model.dispose();
    }
    const again = await Promise.all([loadSmall(), loadSmall()]);
    expect(await Promise.all(again.map((model) => answer(model)))).toEqual([greedy, greedy]);
    for (const model of again) await model.dispose();
  });
});

describe('memory is refused', () => {
  // 32 kB of keys and values a token: a long text soon needs more memory.
  const wide = {
    model_type: 'llama', vocab_size: 272, hidden_size: 64, intermediate_size: 64, num_hidden_layers: 4, num_attention_heads: 8, num_key_value_heads: 8, head_dim: 128,
    max_position_embeddings: 4096, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: true, hidden_act: 'silu',
  };
  const long = Array.from({ length: 1500 }, (_, i) => (i * 31) % 272);
  const refuse = () => vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(() => { throw new RangeError('WebAssembly.Memory.grow(): Unable to grow memory'); });
  const cannot = /\d+ MiB more cannot be had: \d+ MiB are in use/;
  const load = (path: string) => loadModel(path, { backend: 'wasm', threads: 2 });

  it('for weights that no address reaches', async () => {
    expect(await reason(load(await sparseModel({ ...wide, vocab_size: 600_000, hidden_size: 8192 })))).toMatch(/the weights of .* take \d\d\.\d GB, with cache and workspace more than the (4\.3|17\.2) GB that the wasm backend can hold, and so is what remains when layers are streamed/);
  });

  it('while loading', async () => {
    const path = await savedModel({ ...wide, hidden_size: 1024 });
    refuse();
    expect(await reason(load(path))).toMatch(cannot);
  });

  it('for the keys and values of a long text: short ones still work, and the long one does once there is memory', async () => {
    const model = await initialize(wide, { seed: 1, backend: 'wasm' });
    const before = await model.logits(prompt);
    const refused = refuse();
    expect(await reason(model.logits(long))).toMatch(cannot);
    expect(await model.logits(prompt)).toEqual(before);
    const sequence = model.sequence();
    await model.step([{ sequence, tokens: prompt }]);
    expect(await reason(model.step([{ sequence, tokens: long }]))).toMatch(cannot);
    refused.mockRestore();
    // The prompt that its pages held is not forgotten.
    const [after] = await model.step([{ sequence, tokens: long }]);
    expect(after).toEqual((await model.logits([...prompt, ...long])).data.slice(-272));
    await model.dispose();
    expect(model.engine.device.liveBytes).toBe(0);
  });

  // What is left is for records, for scratch, for pages, for a plan: whichever comes first is refused.
  it.each([0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 384, 512, 768, 1024])('with %i kB left: one line or the right answer, and the right answer once there is memory', async (kilobytes) => {
    const model = await loadSmall();
    const [refused, free] = [refuse(), occupy(model, kilobytes * 1024)];
    const outcome = await answer(model).catch((error: Error) => error.message);
    if (typeof outcome === 'string') expect(outcome).toMatch(cannot);
    else expect(outcome).toEqual(greedy);
    refused.mockRestore();
    free();
    expect(await answer(model)).toEqual(greedy);
    await model.dispose();
    expect(model.engine.device.liveBytes).toBe(0);
  });
});

/** Takes what memory there is but for so many bytes; the result gives it back. */
function occupy(model: Model, left: number): () => void {
  const { backend } = model.engine.device;
  const taken: number[] = [];
  const take = (size: number): boolean => {
    const buffer = backend.alloc(size);
    try {
      backend.write(buffer, size - 1, new Uint8Array(1));
    } catch {
      backend.free(buffer);
      return false;
    }
    taken.push(buffer);
    return true;
  };
  const reserved = left > 0 && take(left) ? taken.pop() : undefined;
  for (let size = 2 ** 24; size >= 64; size /= 2) while (take(size));
  if (reserved !== undefined) backend.free(reserved);
  return () => { for (const buffer of taken) backend.free(buffer); };
}

/** A folder with weights of a config made up on the spot. */
async function savedModel(config: Record<string, unknown>): Promise<string> {
  const model = await initialize(config, { seed: 1, backend: 'wasm' });
  const path = join(await folder(), 'model');
  await model.save(path);
  await model.dispose();
  return path;
}

/** A folder whose weights have the right size and were never written. */
async function sparseModel(config: Record<string, unknown>): Promise<string> {
  const path = join(await folder({ 'config.json': JSON.stringify(config) }), 'model.safetensors');
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const [name, [{ piece: { shape } }]] of storedParts(buildModel(config).decoder)) {
    const start = end;
    end += 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [start, end] };
  }
  const bytes = rawFile(header);
  await writeFile(path, bytes);
  await truncate(path, bytes.length + end);
  return join(path, '..');
}
