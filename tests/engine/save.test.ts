// What `save` writes loads again with equal logits, under the names and shapes it came with.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadModel } from '../../src/index.js';
import type { Model } from '../../src/index.js';
import { parameters } from '../../src/nn/index.js';
import { byteLength, View } from '../../src/tensor/index.js';
import type { Spec } from '../../src/tensor/index.js';
import { initialize } from '../../src/training/index.js';
import { configText, floatKeys } from '../../src/checkpoint/config_text.js';
import { readSafetensors } from '../../src/checkpoint/index.js';
import { loadReference, modelDirectory, readArrays, relativeError, titled } from '../support.js';

const names = ['gpt2', 'llama3', 'olmo2', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'deepseek_v3_fp8', 'llama4_multimodal'];
const ids = [5, 200, 17, 3, 99, 42];

describe('save', () => {
  for (const name of names) it.skipIf(!modelDirectory(name))(titled(name), async () => {
    const directory = mkdtempSync(join(tmpdir(), 'lamella-save-'));
    const model = await loadReference(name);
    const want = await model.logits(ids);
    await model.save(directory);
    await model.dispose();
    const again = await loadModel(directory, { backend: 'reference' });
    expect(relativeError((await again.logits(ids)).data, want.data)).toBeLessThan(1e-6);
    expect(again.skippedTensors).toEqual([]);
    await again.dispose();
    const saved = await readArrays(join(directory, 'model.safetensors'));
    if (!name.includes('_fp8') && !name.includes('multimodal')) {
      const original = await readArrays(join(modelDirectory(name)!, 'model.safetensors'));
      expect([...saved.keys()].sort()).toEqual([...original.keys()].sort());
      for (const [key, { data, shape }] of original) {
        expect(saved.get(key)!.shape, key).toEqual(shape);
        expect(saved.get(key)!.data, key).toEqual(data);
      }
    }
    rmSync(directory, { recursive: true });
  });

  it('keeps bf16 as bf16 and drops what no longer holds', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'lamella-save-'));
    const model = await loadReference('deepseek_v3_fp8');
    await model.save(directory);
    await model.dispose();
    const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(config.quantization_config).toBeUndefined();
    expect(config.torch_dtype).toBe('float32');
    rmSync(directory, { recursive: true });
  });
});

describe('a saved config', () => {
  it('spells floats as floats: Python tells them from integers', () => {
    const text = '{"rope_theta": 10000.0, "eps": 1e-6, "heads": 4, "deep": {"factor": 8.0, "n": 2, "list": [1, 2]}, "name": "x: 3.0"}';
    expect([...floatKeys(text)].sort()).toEqual(['eps', 'factor', 'rope_theta']);
    const written = configText(JSON.parse(text), floatKeys(text));
    expect(written).toContain('"rope_theta": 10000.0,');
    expect(written).toContain('"factor": 8.0,');
    expect(written).toMatch(/"heads": 4,[^]*"n": 2,/);
    expect(JSON.parse(written)).toEqual(JSON.parse(text));
  });
  it.skipIf(!modelDirectory('kimi_k2'))(titled('kimi_k2 and its likes load in transformers'), async () => {
    for (const [name, type, float] of [['kimi_k2', 'deepseek_v3', '"factor": 32.0'], ['llama4', 'llama4_text', '"router_jitter_noise": 0.0'], ['gemma3_multimodal', 'gemma3_text', '"rope_local_base_freq": 10000.0']]) {
      const directory = mkdtempSync(join(tmpdir(), 'lamella-save-'));
      const model = await loadReference(name);
      await model.save(directory);
      await model.dispose();
      const text = readFileSync(join(directory, 'config.json'), 'utf8');
      expect(JSON.parse(text)).toMatchObject({ model_type: type, torch_dtype: 'float32' });
      expect(text).toContain(float);
      expect(floatKeys(text)).toEqual(floatKeys(readFileSync(join(modelDirectory(name)!, 'config.json'), 'utf8')));
      rmSync(directory, { recursive: true });
    }
  });
});

it('a fresh model spells the floats that its family and training read', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'lamella-save-'));
  const config = JSON.parse(readFileSync(join(modelDirectory('llama4')!, 'config.json'), 'utf8')) as Record<string, unknown>;
  const model = await initialize(config, { seed: 1 });
  await model.save(directory);
  await model.dispose();
  const text = readFileSync(join(directory, 'config.json'), 'utf8');
  for (const spelled of ['"rope_theta": 500000.0', '"factor": 8.0', '"router_jitter_noise": 0.0', '"floor_scale": 16,', '"num_local_experts": 4,']) expect(text).toContain(spelled);
  rmSync(directory, { recursive: true });
});

describe('initialize', () => {
  it('depends on the seed alone, and saves', async () => {
    const config = JSON.parse(readFileSync(join(modelDirectory('qwen3_moe')!, 'config.json'), 'utf8')) as Record<string, unknown>;
    const [a, b, c] = [await initialize(config, { seed: 7 }), await initialize(config, { seed: 7 }), await initialize(config, { seed: 8, backend: 'reference' })];
    expect((await a.logits(ids)).data).toEqual((await b.logits(ids)).data);
    expect((await a.logits(ids)).data).not.toEqual((await c.logits(ids)).data);
    const directory = mkdtempSync(join(tmpdir(), 'lamella-init-'));
    await a.save(directory);
    const again = await loadModel(directory);
    expect((await again.logits(ids)).data).toEqual((await a.logits(ids)).data);
    const file = await readSafetensors(join(directory, 'model.safetensors'));
    expect(file.metadata).toEqual({ format: 'pt' });
    await file.close();
    for (const model of [a, b, c, again]) await model.dispose();
    rmSync(directory, { recursive: true });
  });
});

/** Every parameter's numbers, decoded. */
async function decoded(model: Model): Promise<Map<string, { spec: Spec; values: Float32Array }>> {
  const out = new Map<string, { spec: Spec; values: Float32Array }>();
  for (const { path, tensor } of parameters(model.engine.decoder)) {
    const bytes = await tensor.device.backend.read(tensor.storage.id, 0, byteLength(tensor.spec));
    out.set(path, { spec: tensor.spec, values: new View(tensor.spec, bytes).toFloat32() });
  }
  return out;
}

describe('weights requantised while loading', () => {
  // The largest relative change of a number that rounding to the format may make, in units of its row's largest.
  const formats = [['f32', 0], ['f16', 2 ** -11], ['q8_0', 0.5 / 127 + 2 ** -11], ['q4_0', 1.002 / 8]] as const;
  for (const name of ['qwen3', 'gpt2', 'llama4', 'deepseek_v3', 'deepseek_v3_fp8']) it(name, async () => {
    const stored = await loadReference(name);
    const exact = await decoded(stored);
    for (const [weights, step] of formats) {
      const model = await loadReference(name, { weights });
      const got = await decoded(model);
      expect([...got.values()].some(({ spec }) => spec.dtype === weights)).toBe(true);
      for (const [path, { spec, values }] of got) {
        const want = exact.get(path)!;
        const kept = spec.shape.length < 2 || want.spec.dtype === spec.dtype;
        expect(relativeError(values, want.values), `${path} as ${spec.dtype}`).toBeLessThanOrEqual(kept ? 0 : step);
        if ((weights === 'q8_0' || weights === 'q4_0') && spec.shape.length > 1) expect(spec.dtype === weights, path).toBe(spec.shape.at(-1)! % 32 === 0 && !/gate\.weight$|router\.weight$/.test(path));
      }
      await model.dispose();
    }
    await stored.dispose();
  });

  it('changes a dense model only a little', async () => {
    const [stored, quantised] = [await loadReference('gpt2'), await loadReference('gpt2', { weights: 'q8_0' })];
    const error = relativeError((await quantised.logits(ids)).data, (await stored.logits(ids)).data);
    expect(error).toBeGreaterThan(1e-4);
    expect(error).toBeLessThan(0.05);
    await stored.dispose();
    await quantised.dispose();
  });
});
