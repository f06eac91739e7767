// Mistral Small 3.1 (text): Llama's block with a head width that is free of hidden_size / heads,
// theta 1e9 and no sliding window, which earlier Mistral releases had and this file still reads.

import { decoder, gatedMlp, groupedQueryAttention, preNormBlock, rmsNorm } from '../nn/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('hidden_act', 'silu');
  hf.multiple('num_attention_heads', 'num_key_value_heads');
  const [dim, heads] = [hf.int('hidden_size'), hf.int('num_attention_heads')];
  return {
    vocab: hf.int('vocab_size'), dim, layers: hf.int('num_hidden_layers'), hidden: hf.int('intermediate_size'),
    heads, kvHeads: hf.int('num_key_value_heads'), headDim: hf.int('head_dim', dim / heads), context: hf.int('max_position_embeddings'),
    eps: hf.num('rms_norm_eps'), rope: hf.rope(), tied: hf.bool('tie_word_embeddings', false),
    mask: hf.has('sliding_window') ? { window: hf.int('sliding_window') } : {},
  };
}
export const mistral = family('mistral', ['mistral', 'mistral3'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied,
  layers: Array.from({ length: c.layers }, () => preNormBlock(c.dim, c.eps, groupedQueryAttention(c), gatedMlp(c.dim, c.hidden))), norm: rmsNorm(c.dim, c.eps),
}));
