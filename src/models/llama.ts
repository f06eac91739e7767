// Llama 3.x: the dense baseline of 2024. Pre-norm with RMSNorm, RoPE, grouped-query attention,
// SwiGLU, no biases. Llama 3.1 and later stretch RoPE by the `llama3` rule.
// Its block is nn/blocks.ts as it stands.

import { decoder, gatedMlp, groupedQueryAttention, preNormBlock, rmsNorm } from '../nn/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('hidden_act', 'silu');
  hf.require('mlp_bias', false);
  hf.multiple('num_attention_heads', 'num_key_value_heads');
  const [dim, heads] = [hf.int('hidden_size'), hf.int('num_attention_heads')];
  return {
    vocab: hf.int('vocab_size'), dim, layers: hf.int('num_hidden_layers'), hidden: hf.int('intermediate_size'),
    heads, kvHeads: hf.int('num_key_value_heads'), headDim: hf.int('head_dim', dim / heads), context: hf.int('max_position_embeddings'),
    eps: hf.num('rms_norm_eps'), rope: hf.rope(undefined, 10000), tied: hf.bool('tie_word_embeddings', false),
    attentionBias: hf.bool('attention_bias', false),
  };
}
export const llama = family('llama', ['llama'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied,
  layers: Array.from({ length: c.layers }, () => preNormBlock(c.dim, c.eps, groupedQueryAttention(c), gatedMlp(c.dim, c.hidden))), norm: rmsNorm(c.dim, c.eps),
}));
