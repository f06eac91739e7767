// Every architecture through GGUF and back: a reference checkpoint converted, opened and run gives the
// logits of the checkpoint itself. What llama.cpp has fixed in code (chunks of Llama 4, …) is set in the
// config first.

import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { convertToGguf, openCheckpoint, openGguf, readGguf, resolveSource } from '../../src/checkpoint/index.js';
import type { Checkpoint, GgufFormat } from '../../src/checkpoint/index.js';
import { createBackend, Engine } from '../../src/engine/index.js';
import type { WeightFormat } from '../../src/engine/index.js';
import { loadModel, Model } from '../../src/model.js';
import { modelDirectory, relativeError, titled } from '../support.js';
import { collect, expectRefusal, folder } from './helpers.js';

const ids = [5, 17, 200, 3, 91, 44, 260, 7, 7, 128, 19, 33, 61, 2, 240, 11];
const fixed: Record<string, Record<string, unknown>> = {
  llama4: { attention_chunk_size: 8192, floor_scale: 8192 },
};
const names = ['gpt2', 'llama3', 'olmo2', 'gemma3', 'mistral_small_31', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'deepseek_v2_lite', 'kimi_k2', 'deepseek_v3_fp8'];
const multimodal = ['gemma3_multimodal', 'mistral3_multimodal', 'llama4_multimodal'];

const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

async function openReference(name: string): Promise<Checkpoint> {
  const checkpoint = await openCheckpoint(await resolveSource(modelDirectory(name)!));
  opened.push(() => checkpoint.close());
  const text = checkpoint.config.text_config;
  const change = fixed[name.replace('_multimodal', '')] ?? {};
  const config = text ? { ...checkpoint.config, text_config: { ...(text as object), ...change } } : { ...checkpoint.config, ...change };
  return { ...checkpoint, config };
}

async function convert(checkpoint: Checkpoint, format: GgufFormat): Promise<Uint8Array> {
  return collect(convertToGguf(checkpoint, { format }).stream);
}

async function logits(checkpoint: Checkpoint, weights: WeightFormat = 'stored'): Promise<Float32Array> {
  const model = new Model(await Engine.open(checkpoint, await createBackend('reference'), { weights }), checkpoint.name, checkpoint.config, undefined, undefined);
  try {
    return (await model.logits(ids)).data;
  } finally {
    await model.dispose();
  }
}

/** Opens a converted file and compares logits; float formats round, so each has its own tolerance. */
async function compare(name: string, format: GgufFormat, tolerance: number): Promise<void> {
  const checkpoint = await openReference(name);
  const file = await openGguf(await convert(checkpoint, format));
  opened.push(() => file.close());
  expect(relativeError(await logits(file), await logits(checkpoint))).toBeLessThan(tolerance);
}

describe('a checkpoint written as GGUF computes the same', () => {
  for (const name of [...names, ...multimodal]) it.skipIf(!modelDirectory(name))(titled(name), () => compare(name, 'f32', 1e-5));

  it.each(['llama3', 'qwen3_moe', 'deepseek_v3'])('%s in f16, up to rounding', (name) => compare(name, 'f16', 0.02));

  it.each(['llama3', 'qwen3', 'qwen3_moe', 'gemma3'])('%s in q8_0, as when it is requantised while loading', async (name) => {
    const checkpoint = await openReference(name);
    const file = await openGguf(await convert(checkpoint, 'q8_0'));
    opened.push(() => file.close());
    // Rows that are not whole blocks are f16 in the file.
    expect(relativeError(await logits(file), await logits(checkpoint, 'q8_0'))).toBeLessThan(name === 'qwen3' ? 1e-3 : 1e-5);
  });

  it.each(['llama3', 'qwen3_moe'])('%s in q4_0, as when it is requantised while loading', async (name) => {
    const checkpoint = await openReference(name);
    const file = await openGguf(await convert(checkpoint, 'q4_0'));
    opened.push(() => file.close());
    expect(relativeError(await logits(file), await logits(checkpoint, 'q4_0'))).toBeLessThan(1e-5);
  });

  it('deepseek_v3 in q8_0, for most tokens as when it is requantised', async () => {
    const checkpoint = await openReference('deepseek_v3');
    const [got, want] = [await logits(await openGguf(await convert(checkpoint, 'q8_0'))), await logits(checkpoint, 'q8_0')];
    const vocabulary = want.length / ids.length;
    // Key projections are blocked along the other axis, and rounding can make a router choose another
    // expert, which changes a token altogether.
    const errors = ids.map((_, t) => relativeError(got.subarray(t * vocabulary, (t + 1) * vocabulary), want.subarray(t * vocabulary, (t + 1) * vocabulary)));
    expect(errors.sort((a, b) => a - b)[ids.length / 2]).toBeLessThan(0.05);
  });
});

describe('a checkpoint read from GGUF', () => {
  it('keeps plain and block formats as they are stored', async () => {
    const checkpoint = await openReference('qwen3_moe');
    for (const [format, dtype] of [['f32', 'F32'], ['f16', 'F16'], ['bf16', 'BF16'], ['q8_0', 'Q8_0'], ['q4_0', 'Q4_0']] as const) {
      const file = await openGguf(await convert(checkpoint, format));
      const up = file.tensors.get('model.layers.1.mlp.experts.3.up_proj.weight')!;
      expect(up).toMatchObject({ dtype, shape: [32, 64] });
      const whole = await up.read();
      expect(await up.readRange(100, 300)).toEqual(whole.slice(100, 400));
      // Routers stay exact, and so do vectors.
      expect(file.tensors.get('model.layers.1.mlp.gate.weight')!.dtype).toBe('F32');
      expect(file.tensors.get('model.norm.weight')!.dtype).toBe('F32');
      await file.close();
    }
  });

  it('says in its config what the original said', async () => {
    for (const name of names.slice(0, 10)) {
      const checkpoint = await openReference(name);
      const { config } = await openGguf(await convert(checkpoint, 'f32'));
      const { dtype: _, ...expected } = checkpoint.config;
      const same = ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'rms_norm_eps', 'rope_theta', 'vocab_size', 'tie_word_embeddings', 'n_embd', 'n_routed_experts', 'num_experts', 'kv_lora_rank', 'n_group'];
      for (const key of same) if (expected[key] !== undefined) expect([name, key, config[key]]).toEqual([name, key, expected[key]]);
    }
  });

  it('lists tensors that the model does not use', async () => {
    const file = await readGguf(await convert(await openReference('llama3'), 'f32'));
    expect(file.tensors.has('rope_freqs.weight')).toBe(true);
    const checkpoint = await openGguf(await convert(await openReference('llama3'), 'f32'));
    expect([...checkpoint.tensors.keys()].filter((name) => !name.startsWith('model.'))).toEqual(['rope_freqs.weight']);
  });
});

describe('a model loaded from a GGUF file', () => {
  it.each(['llama3', 'deepseek_v3', 'gpt2', 'gemma3'])('is saved for the hub and computes the same: %s', async (name) => {
    const path = join(await folder({ 'm.gguf': await convert(await openReference(name), 'f32') }), 'm.gguf');
    const model = await loadModel(path, { backend: 'reference', onWarning: (message) => expect.fail(message) });
    opened.push(() => model.dispose());
    expect(model.tokenizer).toBeUndefined();
    const saved = join(await folder(), 'saved');
    await model.save(saved);
    const again = await loadModel(saved, { backend: 'reference' });
    opened.push(() => again.dispose());
    expect(relativeError((await again.logits(ids)).data, (await model.logits(ids)).data)).toBeLessThan(1e-6);
  });
});

describe('what GGUF cannot say is refused', () => {
  it.each<[string, Record<string, unknown>, string]>([
    ['llama4', { attention_chunk_size: 16 }, 'attention_chunk_size'],
    ['llama4', { use_qk_norm: false }, 'use_qk_norm'],
    ['smollm3', { no_rope_layers: [1, 0, 1, 1, 1] }, 'no RoPE'],
    ['gemma3', { query_pre_attn_scalar: 7 }, 'query_pre_attn_scalar'],
    ['qwen3_moe', { norm_topk_prob: false }, 'not renormalised'],
    ['mistral_small_31', { sliding_window: 32 }, 'within a window'],
    ['qwen3', { rope_scaling: { rope_type: 'dynamic', factor: 2 } }, 'the rule dynamic'],
    ['llama3', { model_type: 'mamba' }, 'models of type "mamba" cannot be written'],
  ])('%s with %o', async (name, change, reason) => {
    const checkpoint = await openReference(name);
    await expectRefusal((async () => convertToGguf({ ...checkpoint, config: { ...checkpoint.config, ...change } }, { format: 'f32' }))(), reason);
  });

  it('a checkpoint without a layer', async () => {
    const checkpoint = await openReference('llama3');
    const tensors = new Map([...checkpoint.tensors].filter(([name]) => !name.includes('layers.2.')));
    await expectRefusal((async () => convertToGguf({ ...checkpoint, tensors }, { format: 'f32' }))(), 'no tensors for blk.2');
  });
});
