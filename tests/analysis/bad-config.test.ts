// Configs that describe no model, found in the wild or made up: each is refused with one line that
// names the file and the key, quickly, and without asking for memory.

import { describe as group, expect, it } from 'vitest';
import { describe } from '../../src/analysis/index.js';
import { ConfigError } from '../../src/models/index.js';
import { findPublished } from '../../src/models/published.js';

type Json = Record<string, unknown>;
const release = (name: string): Json => structuredClone(findPublished(name)!.config) as Json;
const altered = (name: string, change: Json): Json => ({ ...release(name), ...change });
function without(name: string, key: string): Json {
  const { [key]: _, ...rest } = release(name);
  return rest;
}

const cases: [title: string, config: unknown, message: RegExp][] = [
  ['null', null, /expected an object, got null/],
  ['a list', [], /expected an object, got a list/],
  ['a list of configs', [release('gpt2')], /expected an object, got a list/],
  ['a number', 7, /expected an object, got number/],
  ['an empty object', {}, /missing model_type/],
  ['a model_type that is a number', { model_type: 7 }, /missing model_type/],
  ['an unknown model_type', altered('gpt2', { model_type: 'hal9000' }), /unknown model_type 'hal9000'; known are .*gpt2.*qwen3/],
  ['a family that is not implemented', release('gpt-oss-20b'), /unknown model_type 'gpt_oss'; known are/],
  ['a missing key', without('qwen3-8b', 'hidden_size'), /missing key 'hidden_size'/],
  ['a key that is null', altered('qwen3-8b', { hidden_size: null }), /missing key 'hidden_size'/],
  ['a width in quotes', altered('qwen3-8b', { hidden_size: '4096' }), /hidden_size must be a whole number, got "4096"/],
  ['no heads', altered('qwen3-8b', { num_attention_heads: 0 }), /num_attention_heads must be a whole number from 1/],
  ['no heads (GPT-2)', altered('gpt2', { n_head: 0 }), /n_head must be a whole number from 1/],
  ['no layers', altered('olmo-2-1124-7b', { num_hidden_layers: 0 }), /num_hidden_layers must be a whole number from 1/],
  ['layers beyond all reason', altered('smollm3-3b', { num_hidden_layers: 2 ** 24, no_rope_layers: null, layer_types: null }), /num_hidden_layers must be a whole number from 1 to 1024/],
  ['a million million experts', altered('qwen3-30b-a3b', { num_experts: 1e12 }), /num_experts must be a whole number from 1 to 1024, got 1000000000000/],
  ['a million million experts (DeepSeek)', altered('deepseek-v3', { n_routed_experts: 1e12 }), /n_routed_experts must be/],
  ['half an expert', altered('qwen3-30b-a3b', { num_experts: 0.5 }), /num_experts must be a whole number, got 0.5/],
  ['more experts per token than there are', altered('qwen3-30b-a3b', { num_experts_per_tok: 200 }), /config.json/],
  ['a negative rank', altered('deepseek-v3', { kv_lora_rank: -512 }), /kv_lora_rank must be a whole number from 1/],
  ['a negative query rank', altered('deepseek-v3', { q_lora_rank: -1 }), /q_lora_rank must be a whole number from 1/],
  ['experts that groups do not divide', altered('deepseek-v3', { n_group: 7 }), /n_routed_experts \(256\) must be a multiple of n_group \(7\)/],
  ['heads that key heads do not divide', altered('qwen3-8b', { num_key_value_heads: 5 }), /num_attention_heads \(32\) must be a multiple of num_key_value_heads \(5\)/],
  ['a width that heads do not divide', altered('llama-3.2-1b', { num_attention_heads: 24, head_dim: null }), /head_dim must be a whole number/],
  ['a width that heads do not divide (GPT-2)', altered('gpt2', { n_head: 7 }), /n_embd \(768\) must be a multiple of n_head \(7\)/],
  ['a width that heads do not divide (OLMo 2)', altered('olmo-2-1124-7b', { num_attention_heads: 24, num_key_value_heads: 24 }), /config.json.*(head_dim|multiple|does not describe a model)/],
  ['an infinite vocabulary', altered('gpt2', { vocab_size: Infinity }), /vocab_size must be a whole number/],
  ['a vocabulary of 10^15', altered('gpt2', { vocab_size: 1e15 }), /vocab_size must be a whole number from 1 to 16777216/],
  ['an unknown activation', altered('qwen3-8b', { hidden_act: 'tanh' }), /hidden_act "tanh" is not supported/],
  ['a RoPE rule from elsewhere', altered('qwen3-8b', { rope_scaling: { rope_type: 'longrope' } }), /'longrope' is not supported/],
  ['a stretch by nothing', altered('qwen3-8b', { rope_scaling: { rope_type: 'linear', factor: 0 } }), /factor must be positive, got 0/],
  ['a negative theta', altered('qwen3-8b', { rope_theta: -1 }), /rope_theta must be positive, got -1/],
];

group('one clear line for', () => {
  it.each(cases)('%s', async (_, config, message) => {
    const started = performance.now();
    const error = await describe(config as Json).then(() => undefined, (reason: unknown) => reason as Error);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error!.message).toMatch(message);
    expect(error!.message).toMatch(/^config\.json/);
    expect(error!.message).not.toContain('\n');
    expect(error!.message.length).toBeLessThan(400);
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

it('is quick and modest at the limits that it accepts', async () => {
  const started = performance.now();
  const model = await describe(altered('qwen3-30b-a3b', { num_hidden_layers: 256, num_experts: 1024 }));
  expect(model.layers.length).toBe(256);
  expect(performance.now() - started).toBeLessThan(5000);
});

it('refuses contexts and batches that are no counts', async () => {
  for (const context of [0, -1, 1.5, NaN, Infinity]) await expect(describe('gpt2', { context })).rejects.toThrow(/context must be a whole number/);
  await expect(describe('gpt2', { batch: 0 })).rejects.toThrow(/batch must be a whole number/);
});
