// GPT-2 (Radford et al. 2019): the starting point of the comparison.
// Pre-norm with LayerNorm, learned absolute positions, multi-head attention with one fused qkv
// projection, GELU feed-forward, biases everywhere, head tied to the embedding.
//
// T tokens, D model, N heads, H head width.

import { attention, decoder, headRows, kvCache, layerNorm, linear, mergeHeads, module, scoredBy, splitHeads } from '../nn/index.js';
import type { Step } from '../nn/index.js';
import { add, geluTanh, split } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('activation_function', 'gelu_new', 'gelu_pytorch_tanh');
  hf.require('scale_attn_by_inverse_layer_idx', false);
  hf.multiple('n_embd', 'n_head');
  const dim = hf.int('n_embd');
  return {
    vocab: hf.int('vocab_size'), dim, layers: hf.int('n_layer'), heads: hf.int('n_head'), context: hf.int('n_positions'),
    hidden: hf.int('n_inner', 4 * dim), eps: hf.num('layer_norm_epsilon', 1e-5), tied: hf.bool('tie_word_embeddings', true),
  };
}
type Config = ReturnType<typeof config>;

const conv1d = (inputs: number, outputs: number) => linear(inputs, outputs, { bias: true, transposed: true });

const selfAttention = (c: Config) => scoredBy(module({
  c_attn: conv1d(c.dim, 3 * c.dim),
  c_proj: conv1d(c.dim, c.dim),
  kv: kvCache([c.heads, c.dim / c.heads], [c.heads, c.dim / c.heads]),
}, (m, x_TD: Tensor, step: Step) => {
  const [q_TD, k_TD, v_TD] = split(m.c_attn(x_TD), [c.dim, c.dim, c.dim]);
  const past = step.append(m.kv, { k: splitHeads(k_TD, c.heads), v: splitHeads(v_TD, c.heads) });
  const o_TNH = attention(splitHeads(q_TD, c.heads), past, { scale: (c.dim / c.heads) ** -0.5 });
  return m.c_proj(mergeHeads(o_TNH));
}), (m) => [0, c.dim].map((base) => headRows(m.c_attn, c.heads, c.dim / c.heads, { base })));

const mlp = (c: Config) => module({
  c_fc: conv1d(c.dim, c.hidden),
  c_proj: conv1d(c.hidden, c.dim),
}, (m, x_TD: Tensor) => m.c_proj(geluTanh(m.c_fc(x_TD))));

const block = (c: Config) => module({
  ln_1: layerNorm(c.dim, c.eps),
  attn: selfAttention(c),
  ln_2: layerNorm(c.dim, c.eps),
  mlp: mlp(c),
}, (m, x_TD: Tensor, step: Step) => {
  const h_TD = add(x_TD, m.attn(m.ln_1(x_TD), step));
  return add(h_TD, m.mlp(m.ln_2(h_TD)));
});

export const gpt2 = family('gpt2', ['gpt2'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, positions: c.context, tied: c.tied,
  layers: Array.from({ length: c.layers }, () => block(c)), norm: layerNorm(c.dim, c.eps),
  storedNames: { embed_tokens: 'wte', embed_positions: 'wpe', layers: 'h', norm: 'ln_f' }, storedPrefix: 'transformer.',
}));
