// OLMo 3 (arXiv:2512.13961): OLMo 2's block; of every four layers three see a sliding window with
// plain RoPE, the fourth sees everything with RoPE stretched by YaRN (arXiv:2309.00071).
//
// T tokens, D model, N query heads, K key/value heads, H head width.

import { attention, decoder, gatedMlp, kvCache, linear, mergeHeads, module, rmsNorm, rotary, splitHeads } from '../nn/index.js';
import type { RopeConfig, Step } from '../nn/index.js';
import { add } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('hidden_act', 'silu');
  hf.require('attention_bias', false);
  hf.multiple('num_attention_heads', 'num_key_value_heads');
  const [dim, heads] = [hf.int('hidden_size'), hf.int('num_attention_heads')];
  const layers = hf.int('num_hidden_layers');
  const types = hf.perLayer('layer_types', layers, ['sliding_attention', 'full_attention']);
  const isFull = (i: number) => (types ? types[i] === 'full_attention' : (i + 1) % 4 === 0);
  // YaRN is for the full layers, even where one table is written for all of them.
  const plain: RopeConfig = { theta: hf.rope('sliding_attention').theta, scaling: { type: 'none' } };
  return {
    vocab: hf.int('vocab_size'), dim, hidden: hf.int('intermediate_size'), heads, kvHeads: hf.int('num_key_value_heads'),
    headDim: hf.int('head_dim', dim / heads), context: hf.int('max_position_embeddings'),
    eps: hf.num('rms_norm_eps', 1e-5), tied: hf.bool('tie_word_embeddings', false),
    layers: Array.from({ length: layers }, (_, i) => isFull(i)
      ? { window: undefined, rope: hf.rope('full_attention') }
      : { window: hf.int('sliding_window', 4096), rope: plain }),
  };
}
type Config = ReturnType<typeof config>;
type Layer = Config['layers'][number];

const selfAttention = (c: Config, { window, rope }: Layer) => module({
  q_proj: linear(c.dim, c.heads * c.headDim),
  k_proj: linear(c.dim, c.kvHeads * c.headDim),
  v_proj: linear(c.dim, c.kvHeads * c.headDim),
  o_proj: linear(c.heads * c.headDim, c.dim),
  q_norm: rmsNorm(c.heads * c.headDim, c.eps),
  k_norm: rmsNorm(c.kvHeads * c.headDim, c.eps),
  rotary: rotary(c.headDim, rope, 'half'),
  kv: kvCache([c.kvHeads, c.headDim], [c.kvHeads, c.headDim], { window }),
}, (m, x_TD: Tensor, step: Step) => {
  const q_TNH = m.rotary(splitHeads(m.q_norm(m.q_proj(x_TD)), c.heads), step);
  const k_TKH = m.rotary(splitHeads(m.k_norm(m.k_proj(x_TD)), c.kvHeads), step);
  const past = step.append(m.kv, { k: k_TKH, v: splitHeads(m.v_proj(x_TD), c.kvHeads) });
  return m.o_proj(mergeHeads(attention(q_TNH, past, { scale: c.headDim ** -0.5 })));
});

const block = (c: Config, layer: Layer) => module({
  self_attn: selfAttention(c, layer),
  post_attention_layernorm: rmsNorm(c.dim, c.eps),
  mlp: gatedMlp(c.dim, c.hidden),
  post_feedforward_layernorm: rmsNorm(c.dim, c.eps),
}, (m, x_TD: Tensor, step: Step) => {
  const h_TD = add(x_TD, m.post_attention_layernorm(m.self_attn(x_TD, step)));
  return add(h_TD, m.post_feedforward_layernorm(m.mlp(h_TD)));
});

export const olmo3 = family('olmo3', ['olmo3'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied,
  layers: c.layers.map((layer) => block(c, layer)), norm: rmsNorm(c.dim, c.eps),
}));
