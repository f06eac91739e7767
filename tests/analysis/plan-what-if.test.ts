// What if a config had other values: figures against hand counts, and fields and values refused.

import { describe, expect, it } from 'vitest';
import { whatIf } from '../../src/analysis/index.js';
import { ConfigError } from '../../src/models/index.js';

describe('what if', () => {
  it('DeepSeek V3 had half the experts and half the latent rank', async () => {
    const { original, changed, comparison } = await whatIf('deepseek-v3', { n_routed_experts: 128, kv_lora_rank: 256 });
    expect([original.kvBytesPerToken, changed.kvBytesPerToken]).toEqual([61 * 576 * 2, 61 * 320 * 2]);
    // 128 experts less on 58 layers, with their rows of the router and its bias; per layer 256
    // columns less of kv_a, of its norm, and rows of kv_b.
    const experts = 58 * 128 * (3 * 7168 * 2048 + 7168 + 1);
    const latent = 61 * 256 * (7168 + 1 + 128 * 256);
    expect(original.parameters.total - changed.parameters.total).toBe(experts + latent);
    expect(comparison.rows.find(({ key }) => key === 'parameters')!.values).toEqual([original.parameters.total, changed.parameters.total]);
    expect(comparison.models.map(({ name }) => name)).toEqual(['deepseek-ai/DeepSeek-V3', 'changed']);
  });

  it('Gemma 3 had no global layers but every twelfth, in a config with a text part', async () => {
    const { original, changed } = await whatIf('gemma-3-27b', { sliding_window_pattern: 12, sliding_window: 2048 });
    expect(original.layers.filter(({ window }) => window === null).length).toBe(10);
    expect(changed.layers.filter(({ window }) => window === null).length).toBe(5);
    expect(changed.kvBytes(131072)).toBe((5 * 131072 + 57 * 2048) * 8192);
  });

  it('a model had fewer key heads, another vocabulary, other layers, an own head', async () => {
    const { original, changed } = await whatIf('qwen3-0.6b', { num_key_value_heads: 2, vocab_size: 32000, num_hidden_layers: 14, tie_word_embeddings: false });
    expect(changed.kvBytesPerToken).toBe(14 * 2 * 2 * 128 * 2);
    expect(changed.parameters.byPart).toMatchObject({ embedding: 32000 * 1024, head: 32000 * 1024 });
    expect(changed.layers.length * 2).toBe(original.layers.length);
  });

  it('removes a field with null', async () => {
    const { changed } = await whatIf('deepseek-v3', { q_lora_rank: null });
    expect(changed.layers[0].parameters).toBeGreaterThan(0);
    expect(changed.parameters.byPart.attention).toBeGreaterThan(61 * 7168 * 128 * 192);
  });

  it.each<[string, string, Record<string, unknown>, RegExp]>([
    ['a field of another family', 'deepseek-v3', { num_experts: 64 }, /^the deepseek_v3 family does not read 'num_experts' \(it reads .*n_routed_experts/],
    ['a latent rank without a latent', 'qwen3-8b', { kv_lora_rank: 64 }, /^the qwen3 family does not read 'kv_lora_rank'/],
    ['experts of a dense model', 'qwen3-8b', { num_experts: 64 }, /^the qwen3 family does not read 'num_experts'/],
    ['a mistyped field', 'gpt2', { n_heads: 4 }, /^the gpt2 family does not read 'n_heads'/],
    ['a field of Object', 'gpt2', { constructor: 4 }, /^the gpt2 family does not read 'constructor'/],
    ['no experts at all', 'qwen3-30b-a3b', { num_experts: 0 }, /^Qwen\/Qwen3-30B-A3B changed: num_experts must be a whole number from 1/],
    ['heads that do not divide', 'qwen3-8b', { num_key_value_heads: 5 }, /changed: num_attention_heads \(32\) must be a multiple of num_key_value_heads \(5\)/],
    ['more experts a token than there are', 'qwen3-30b-a3b', { num_experts: 4 }, /changed/],
    ['a layer list that is too short', 'gemma-3-270m', { num_hidden_layers: 20 }, /changed: layer_types has 18 entries for 20 layers/],
    ['another family', 'gpt2', { model_type: 'llama' }, /^model_type is what makes a family/],
    ['nothing', 'gpt2', {}, /^there is nothing to change/],
  ])('refuses %s in one line', async (_, model, overrides, message) => {
    const error = await whatIf(model, overrides).then(() => undefined, (reason: unknown) => reason as Error);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error!.message).toMatch(message);
    expect(error!.message).not.toContain('\n');
  });
});
