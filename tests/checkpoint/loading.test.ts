// What a damaged or foreign checkpoint gives: one clear line that names the tensor, what was
// expected and the file, and nothing left allocated.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/checkpoint/index.js';
import { loadModel } from '../../src/index.js';
import { modelDirectory } from '../support.js';

let directory: string;
beforeEach(() => { directory = mkdtempSync(join(tmpdir(), 'lamella-load-')); });
afterEach(() => rmSync(directory, { recursive: true }));

interface Raw { dtype: string; shape: readonly number[]; data: Uint8Array }

/** A copy of a reference model with its config and tensors changed. */
async function damaged(name: string, change: { config?: (c: Record<string, unknown>) => void; tensors?: (t: Map<string, Raw>) => void }): Promise<string> {
  cpSync(join(modelDirectory(name)!, 'config.json'), join(directory, 'config.json'));
  const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8')) as Record<string, unknown>;
  change.config?.(config);
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config));
  const file = await readSafetensors(join(modelDirectory(name)!, 'model.safetensors'));
  const tensors = new Map<string, Raw>();
  for (const [key, t] of file.tensors) tensors.set(key, { dtype: t.dtype, shape: t.shape, data: await t.read() });
  await file.close();
  change.tensors?.(tensors);
  const chunks: Uint8Array[] = [];
  for await (const chunk of writeSafetensors([...tensors].map(([key, t]) => ({ name: key, ...t })))) chunks.push(chunk);
  writeFileSync(join(directory, 'model.safetensors'), Buffer.concat(chunks));
  return directory;
}
const load = (path: string) => loadModel(path, { backend: 'reference', onWarning: () => undefined });
const first = 'model.layers.0.self_attn.q_proj.weight';

describe('a checkpoint that does not fit its config', () => {
  it('names a missing tensor, its shape and its part', async () => {
    const path = await damaged('qwen3', { tensors: (t) => t.delete(first) });
    await expect(load(path)).rejects.toThrow(`the checkpoint has no tensor '${first}' of shape [128, 64], which layers.0.self_attn.q_proj.weight needs`);
  });
  it('names a misshapen tensor, its file and both shapes', async () => {
    const path = await damaged('qwen3', { tensors: (t) => t.set(first, { ...t.get(first)!, shape: [64, 128] }) });
    await expect(load(path)).rejects.toThrow(new RegExp(`tensor '${first}' in .*model.safetensors has shape \\[64, 128\\], expected \\[128, 64\\]`));
  });
  it('refuses integer weights', async () => {
    const path = await damaged('qwen3', { tensors: (t) => t.set(first, { ...t.get(first)!, dtype: 'I32' }) });
    await expect(load(path)).rejects.toThrow('has type I32; weights may be F32, F16, BF16, F8_E4M3');
  });
  it('refuses FP8 scales of the wrong shape, and FP8 without a block size', async () => {
    const scale = 'model.layers.0.self_attn.o_proj.weight_scale_inv';
    const wrong = await damaged('deepseek_v3_fp8', { tensors: (t) => t.set(scale, { dtype: 'F32', shape: [1, 1], data: new Uint8Array(4) }) });
    await expect(load(wrong)).rejects.toThrow(new RegExp(`tensor '${scale}' in .* has shape \\[1, 1\\], expected \\[2, 4\\] for blocks of 32 x 16`));
    const none = await damaged('deepseek_v3_fp8', { config: (c) => { delete c.quantization_config; } });
    await expect(load(none)).rejects.toThrow("the config's quantization_config has no weight_block_size");
    const absurd = await damaged('deepseek_v3_fp8', { config: (c) => { c.quantization_config = { weight_block_size: [0, 16] }; } });
    await expect(load(absurd)).rejects.toThrow('weight_block_size must be two whole numbers, got [0,16]');
  });
  it('lists what it knows when the model_type is unknown', async () => {
    const path = await damaged('qwen3', { config: (c) => { c.model_type = 'mamba'; } });
    await expect(load(path)).rejects.toThrow(/unknown model_type 'mamba'; known are .*deepseek_v3.*gpt2.*qwen3_moe/);
  });
  it('names a missing key, and a wrong one', async () => {
    await expect(load(await damaged('qwen3', { config: (c) => { delete c.hidden_size; } }))).rejects.toThrow("config.json: missing key 'hidden_size' (a whole number)");
    await expect(load(await damaged('qwen3', { config: (c) => { c.num_hidden_layers = 'three'; } }))).rejects.toThrow('num_hidden_layers must be a whole number, got "three"');
    await expect(load(await damaged('qwen3', { config: (c) => { c.num_attention_heads = 0; } }))).rejects.toThrow('num_attention_heads must be a whole number from 1');
    await expect(load(await damaged('qwen3', { config: (c) => { c.num_key_value_heads = 3; } }))).rejects.toThrow('num_attention_heads (4) must be a multiple of num_key_value_heads (3)');
    await expect(load(await damaged('qwen3', { config: (c) => { c.rope_scaling = { rope_type: 'longrope' }; } }))).rejects.toThrow("RoPE scaling 'longrope' is not supported");
    await expect(load(await damaged('smollm3', { config: (c) => { c.no_rope_layers = [1, 0]; } }))).rejects.toThrow('no_rope_layers has 2 entries for 5 layers');
    await expect(load(await damaged('smollm3', { config: (c) => { c.no_rope_layers = [1, 0, 1, 1, 2]; } }))).rejects.toThrow('no_rope_layers holds 2, expected 0 or 1');
    await expect(load(await damaged('llama3', { config: (c) => { c.hidden_act = 'relu'; } }))).rejects.toThrow('hidden_act "relu" is not supported');
  });
});

describe('a checkpoint that fits', () => {
  it('warns of NaN and infinite weights by name, once each', async () => {
    for (const [value, name] of [[NaN, 'qwen3'], [Infinity, 'gpt2']] as const) {
      const key = name === 'gpt2' ? 'transformer.h.1.mlp.c_fc.weight' : first;
      const path = await damaged(name, { tensors: (t) => { new DataView(t.get(key)!.data.buffer).setFloat32(40, value, true); } });
      const warnings: string[] = [];
      const model = await loadModel(path, { backend: 'reference', onWarning: (message) => warnings.push(message) });
      expect(warnings).toEqual([expect.stringMatching(new RegExp(`^tensor '${key}' in .*model.safetensors holds NaN or infinite numbers$`))]);
      await model.dispose();
    }
  });
  it('loads under other releases\' prefixes', async () => {
    for (const [name, from, to] of [['gpt2', 'transformer.', ''], ['qwen3', 'model.', ''], ['smollm3', 'model.', 'model.language_model.'], ['olmo2', '', 'language_model.']] as const) {
      const path = await damaged(name, { tensors: (t) => {
        for (const [key, tensor] of [...t]) { t.delete(key); t.set(key.startsWith(from) ? to + key.slice(from.length) : key, tensor); }
      } });
      const [a, b] = [await load(path), await load(modelDirectory(name)!)];
      expect((await a.logits([1, 2, 3])).data).toEqual((await b.logits([1, 2, 3])).data);
      await a.dispose();
      await b.dispose();
    }
  });
  it('skips what it does not use, and names it', async () => {
    const extra = ['lm_head.weight', 'model.layers.0.self_attn.rotary_emb.inv_freq', 'model.layers.3.eh_proj.weight', 'vision_tower.patch_conv.weight'];
    const path = await damaged('qwen3', { tensors: (t) => { for (const key of extra) t.set(key, { dtype: 'F32', shape: [2], data: new Uint8Array(8) }); } });
    const model = await load(path);
    expect([...model.skippedTensors].sort()).toEqual([...extra].sort());
    await model.dispose();
  });
  it('can be stopped while loading, and reports its progress', async () => {
    const path = modelDirectory('qwen3')!;
    const control = new AbortController();
    await expect(loadModel(path, { backend: 'reference', signal: control.signal, onProgress: () => control.abort() })).rejects.toThrow();
    const seen: number[] = [];
    const model = await loadModel(path, { backend: 'reference', onProgress: (p) => { if (p.phase === 'load') seen.push(p.loaded / p.total); } });
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    await model.dispose();
  });
  it('refuses a context that the model cannot have', async () => {
    await expect(loadModel(modelDirectory('gpt2')!, { backend: 'reference', contextLength: 4096 })).rejects.toThrow('contextLength 4096 is more than the 128 positions that the model has');
    await expect(loadModel(modelDirectory('qwen3')!, { backend: 'reference', contextLength: 0 })).rejects.toThrow('contextLength must be a whole number of tokens, got 0');
  });
  it('refuses an unknown backend', async () => {
    await expect(loadModel(modelDirectory('qwen3')!, { backend: 'cuda' as 'reference' })).rejects.toThrow(/unknown backend 'cuda'; known are auto, reference/);
  });
});
