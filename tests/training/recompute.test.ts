// Computing layers again on the way back: the very same numbers, in less memory. On the GPU:
// tests/webgpu/training.test.ts.

import { describe, it } from 'vitest';
import { compareRecomputed, tinyConfig } from './support.js';

const experts = { ...tinyConfig, model_type: 'qwen3_moe', head_dim: 4, rope_theta: 1e4, num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 8, norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [] };
const latent = {
  ...tinyConfig, model_type: 'deepseek_v3', num_key_value_heads: 4, moe_intermediate_size: 8, n_routed_experts: 4, n_shared_experts: 1, num_experts_per_tok: 2, first_k_dense_replace: 1, n_group: 2, topk_group: 1,
  routed_scaling_factor: 1.5, kv_lora_rank: 8, q_lora_rank: 8, qk_nope_head_dim: 4, qk_rope_head_dim: 4, v_head_dim: 4, norm_topk_prob: true, rope_theta: 1e4,
};

describe('layers that are computed again', () => {
  // Deep enough that what is kept of layers is most of it.
  const deep = { num_hidden_layers: 5 };
  for (const backend of ['reference', 'wasm'] as const) {
    it(`dense, on ${backend}`, () => compareRecomputed({ ...tinyConfig, ...deep }, backend));
    it(`experts with a loss that balances them, on ${backend}`, () => compareRecomputed({ ...experts, ...deep }, backend, { balance: 0.01 }));
    it(`latent attention and experts with a bias, on ${backend}`, () => compareRecomputed({ ...latent, ...deep }, backend));
  }
});
