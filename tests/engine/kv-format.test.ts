// Keys and values kept in f16: half the bytes, the same greedy tokens of the dense families, logits
// within 3e-3 of the largest (rounding to f16 alone moves a number by up to 5e-4 of itself).

import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ReferenceBackend } from '../../src/backends/reference/index.js';
import { createBackend, Engine, syntheticWeight } from '../../src/engine/index.js';
import type { BackendName, KvFormat } from '../../src/engine/index.js';
import type { Spec } from '../../src/tensor/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { loadReference, modelDirectory, readArrays, relativeError, titled } from '../support.js';

const DENSE = ['gpt2', 'llama3', 'olmo2', 'gemma3', 'mistral_small_31', 'qwen3', 'smollm3'];
const PROMPT = 11;

beforeAll(() => buildWasm(cacheFolder));

for (const backend of ['reference', 'wasm'] as const) describe(backend, () => {
  for (const name of DENSE) it.skipIf(!modelDirectory(name))(titled(name), async () => {
    const reference = await readArrays(join(modelDirectory(name)!, 'reference.safetensors'));
    const [ids, logits, greedy] = ['input_ids', 'logits', 'greedy'].map((key) => reference.get(key)!);
    const [, tokens, vocab] = logits.shape;
    const prompt = [...ids.data.slice(0, tokens)];
    const model = await loadReference(name, { backend, kv: 'f16' });
    const error = relativeError((await model.logits(prompt)).data, logits.data.slice(0, tokens * vocab));
    expect(error).toBeLessThan(3e-3);
    expect(error, 'f16 was used').toBeGreaterThan(1e-5);
    const made: number[] = [];
    for await (const { token } of model.generate(prompt.slice(0, PROMPT), { maxTokens: greedy.data.length, ignoreEos: true, temperature: 0 })) made.push(token);
    expect(made).toEqual([...greedy.data]);
    await model.dispose();
    expect(model.engine.device.liveBytes).toBe(0);
  });

  it('halves the pages, which keep what they held when they grow', async () => {
    const ids = Array.from({ length: 600 }, (_, i) => (i * 31) % 272);
    const measured = async (kv: KvFormat) => {
      const model = await loadReference('qwen3', { backend, kv, contextLength: 1024 });
      const sequence = model.sequence();
      const before = model.engine.device.liveBytes;
      for (let at = 0; at < 600; at += 100) await model.step([{ sequence, tokens: ids.slice(at, at + 100), logits: 'none' }]);
      const live = model.engine.device.liveBytes - before;
      expect(model.engine.runner.kv.bytes).toBe(live);
      const [logits] = await model.step([{ sequence, tokens: [7] }]);
      await model.dispose();
      return { live, logits };
    };
    const [full, half] = [await measured('f32'), await measured('f16')];
    expect(half.live * 2).toBe(full.live);
    expect(relativeError(half.logits, full.logits)).toBeLessThan(2e-3);
  });
});

describe('q8_0', () => {
  const config = { model_type: 'qwen3', vocab_size: 64, hidden_size: 64, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 64, max_position_embeddings: 512, rms_norm_eps: 1e-6, rope_theta: 1e4, tie_word_embeddings: true };
  const ids = Array.from({ length: 200 }, (_, i) => (i * 31) % 64);
  const measured = async (backend: BackendName, kv: KvFormat) => {
    const engine = Engine.create(config, await createBackend(backend, { threads: 2 }), (parameter, device) => syntheticWeight(parameter, device, 'f32'), { kv });
    const sequence = engine.runner.sequence();
    await engine.runner.step([{ sequence, tokens: ids, logits: 'none' }]);
    const [logits] = await engine.runner.step([{ sequence, tokens: [7] }]);
    const { bytes } = engine.runner.kv;
    engine.dispose();
    return { logits, bytes };
  };

  it('takes 34 bytes for 32 numbers, and gives on wasm what the reference gives', async () => {
    const [full, reference, wasm] = [await measured('reference', 'f32'), await measured('reference', 'q8_0'), await measured('wasm', 'q8_0')];
    expect(reference.bytes).toBe((full.bytes * 34) / 128);
    expect(wasm.bytes).toBe(reference.bytes);
    const error = relativeError(reference.logits, full.logits);
    expect(error, 'q8_0 was used').toBeGreaterThan(1e-5);
    expect(error).toBeLessThan(1e-2);
    // A number that lies between two steps may fall to either side.
    expect(relativeError(wasm.logits, reference.logits)).toBeLessThan(2e-3);
  });

  it('does not fit heads whose width is no multiple of 32', async () => {
    const narrow = createBackend('wasm', { threads: 1 }).then((backend) => Engine.create({ ...config, head_dim: 16 }, backend, (parameter, device) => syntheticWeight(parameter, device, 'f32'), { kv: 'q8_0' }));
    await expect(narrow.then(() => 'loaded')).rejects.toThrow("the wasm backend cannot keep layers.0.self_attn.kv in q8_0: load the model with kv 'f32'");
  });
});

it('says at load what a backend cannot keep', async () => {
  const narrow = Object.assign(new ReferenceBackend(), { supports: (_op: string, inputs: readonly Spec[]) => inputs.every(({ dtype }) => dtype !== 'f16') });
  const config = { model_type: 'qwen3', vocab_size: 32, hidden_size: 32, intermediate_size: 32, num_hidden_layers: 1, num_attention_heads: 2, num_key_value_heads: 1, head_dim: 16, max_position_embeddings: 64, rms_norm_eps: 1e-6, rope_theta: 1e4, tie_word_embeddings: true };
  const create = (kv: KvFormat) => Engine.create(config, narrow, (parameter, device) => syntheticWeight(parameter, device, 'f32'), { kv });
  expect(() => create('f16')).toThrow("the reference backend cannot keep layers.0.self_attn.kv in f16: load the model with kv 'f32'");
  expect(() => create('f8' as KvFormat)).toThrow("kv must be one of f32, f16, q8_0, got 'f8'");
  await expect(loadReference('qwen3', { kv: 'f8' as KvFormat })).rejects.toThrow("kv must be one of f32, f16, q8_0, got 'f8'");
});
