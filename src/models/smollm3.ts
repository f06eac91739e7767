// SmolLM3 (Hugging Face, 2025): Llama's block in which every fourth layer has no positions at
// all (NoPE, arXiv:2305.19466): nothing replaces RoPE there.

import { decoder, gatedMlp, groupedQueryAttention, preNormBlock, rmsNorm } from '../nn/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('hidden_act', 'silu');
  hf.require('attention_bias', false);
  hf.require('mlp_bias', false);
  hf.require('use_sliding_window', false);
  hf.multiple('num_attention_heads', 'num_key_value_heads');
  const [dim, heads] = [hf.int('hidden_size'), hf.int('num_attention_heads')];
  const interval = hf.int('no_rope_layer_interval', 4);
  const layers = hf.int('num_hidden_layers');
  const listed = hf.perLayer('no_rope_layers', layers, [0, 1]); // despite its name, 1 means "uses RoPE"
  return {
    vocab: hf.int('vocab_size'), dim, hidden: hf.int('intermediate_size'), heads, kvHeads: hf.int('num_key_value_heads'),
    headDim: hf.int('head_dim', dim / heads), context: hf.int('max_position_embeddings'),
    eps: hf.num('rms_norm_eps'), rope: hf.rope(undefined, 2e6), tied: hf.bool('tie_word_embeddings', true),
    usesRope: Array.from({ length: layers }, (_, i) => (listed ? listed[i] === 1 : (i + 1) % interval !== 0)),
  };
}
export const smollm3 = family('smollm3', ['smollm3'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied,
  layers: c.usesRope.map((usesRope) =>
    preNormBlock(c.dim, c.eps, groupedQueryAttention({ ...c, rope: usesRope ? c.rope : null }), gatedMlp(c.dim, c.hidden))), norm: rmsNorm(c.dim, c.eps),
}));
