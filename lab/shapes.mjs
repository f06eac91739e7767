// The small shapes that claims compare: 128 wide, four layers, and the feed-forward width that brings a
// design to a given number of parameters. Everything else is what each family's config says.

import { hiddenParameters } from '../dist/models/index.js';

const DIM = 128;
/** Positions are computed, not learned: a model may be given more than it was trained on. */
const LONGEST = 1024;

/** Keys that the families spell alike. Grouped queries: 8 heads of 16, with as many key/value heads as told. */
export const common = ({ vocab, hidden = 384, layers = 4, heads = 8, kvHeads = 2 }) => ({
  vocab_size: vocab, hidden_size: DIM, intermediate_size: hidden, num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: DIM / heads,
  max_position_embeddings: LONGEST, rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true, attention_bias: false, hidden_act: 'silu',
});

/** A family's config: pre-norm without (llama) or with norms of queries and keys (qwen3), norms behind the sublayers with both (olmo2). */
export const plain = (family, shape) => ({ model_type: family, ...common(shape), ...(family === 'llama' ? { mlp_bias: false } : {}) });

/** Latent attention (DeepSeek V3) over dense layers: `rank` numbers and a rotated part of `rotated` are kept per token. */
export const latent = ({ rank = 56, rotated = 8, ...shape }) => ({
  model_type: 'deepseek_v3', ...common({ ...shape, kvHeads: 8 }), q_lora_rank: null, kv_lora_rank: rank, qk_nope_head_dim: 16, qk_rope_head_dim: rotated, v_head_dim: 16,
  first_k_dense_replace: shape.layers ?? 4, moe_layer_freq: 1, n_routed_experts: 2, num_experts_per_tok: 1, moe_intermediate_size: 8, n_shared_experts: 0, n_group: 1, topk_group: 1,
  norm_topk_prob: true, scoring_func: 'sigmoid', topk_method: 'noaux_tc', routed_scaling_factor: 1,
});

/** The config that `make(feed-forward width)` gives with parameters (embeddings aside) nearest to `target`. */
export function ofSize(target, make) {
  // Parameters grow with the width in a straight line: two points give the rest.
  const [a, b] = [hiddenParameters(make(8)), hiddenParameters(make(16))];
  return make(Math.max(1, Math.round(8 + (8 * (target - a)) / (b - a))));
}

/** Parameters without embeddings. */
export { hiddenParameters as hiddenOf };
