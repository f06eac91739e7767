// Gemma 3 (arXiv:2503.19786), text: norms before and after each sublayer, queries and keys normed
// per head, five sliding-window layers to each global one with a RoPE of their own, GeGLU,
// embeddings scaled by sqrt(D), norm weights stored less one, head tied to the embedding.
//
// T tokens, D model, N query heads, K key/value heads, H head width.

import { attention, decoder, gatedMlp, kvCache, linear, mergeHeads, module, rmsNorm, rotary, splitHeads } from '../nn/index.js';
import type { RopeConfig, Step } from '../nn/index.js';
import { add, bf16Bits, f16Bits, f16Table, f32FromBits } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

// The multimodal releases leave out what equals Gemma3TextConfig's defaults: given here as such.
function config(hf: HfConfig) {
  hf.require('hidden_activation', 'gelu_pytorch_tanh');
  const layers = hf.int('num_hidden_layers');
  const pattern = hf.int(hf.has('sliding_window_pattern') ? 'sliding_window_pattern' : '_sliding_window_pattern', 6);
  const types = hf.perLayer('layer_types', layers, ['sliding_attention', 'full_attention']);
  const isGlobal = (i: number) => (types ? types[i] === 'full_attention' : (i + 1) % pattern === 0);
  const newSchema = hf.has('rope_parameters');
  const local: RopeConfig = newSchema ? hf.rope('sliding_attention') : { theta: hf.num('rope_local_base_freq', 1e4), scaling: { type: 'none' } };
  const dim = hf.int('hidden_size');
  return {
    vocab: hf.int('vocab_size', 262208), dim, hidden: hf.int('intermediate_size'), heads: hf.int('num_attention_heads', 8),
    kvHeads: hf.int('num_key_value_heads', 4), headDim: hf.int('head_dim', 256), context: hf.int('max_position_embeddings', 131072),
    eps: hf.num('rms_norm_eps', 1e-6), tied: hf.bool('tie_word_embeddings', true),
    scale: hf.int('query_pre_attn_scalar', 256) ** -0.5, embeddingScale: roundedTo(hf.dtype, Math.sqrt(dim)),
    layers: Array.from({ length: layers }, (_, i) => isGlobal(i)
      ? { window: undefined, rope: hf.rope('full_attention', 1e6) }
      : { window: hf.int('sliding_window'), rope: local }),
  };
}
type Config = ReturnType<typeof config>;

/** The reference casts sqrt(D) to the weights' own type before it multiplies. */
function roundedTo(dtype: string | undefined, value: number): number {
  if (dtype === 'bfloat16') return f32FromBits(bf16Bits(value) << 16);
  return dtype === 'float16' ? f16Table()[f16Bits(value)] : Math.fround(value);
}

const selfAttention = (c: Config, layer: Config['layers'][number]) => module({
  q_proj: linear(c.dim, c.heads * c.headDim),
  k_proj: linear(c.dim, c.kvHeads * c.headDim),
  v_proj: linear(c.dim, c.kvHeads * c.headDim),
  o_proj: linear(c.heads * c.headDim, c.dim),
  q_norm: rmsNorm(c.headDim, c.eps, { offset: 1 }),
  k_norm: rmsNorm(c.headDim, c.eps, { offset: 1 }),
  rotary: rotary(c.headDim, layer.rope, 'half'),
  kv: kvCache([c.kvHeads, c.headDim], [c.kvHeads, c.headDim], { window: layer.window }),
}, (m, x_TD: Tensor, step: Step) => {
  const q_TNH = m.rotary(m.q_norm(splitHeads(m.q_proj(x_TD), c.heads)), step);
  const k_TKH = m.rotary(m.k_norm(splitHeads(m.k_proj(x_TD), c.kvHeads)), step);
  const past = step.append(m.kv, { k: k_TKH, v: splitHeads(m.v_proj(x_TD), c.kvHeads) });
  return m.o_proj(mergeHeads(attention(q_TNH, past, { scale: c.scale })));
});

const block = (c: Config, layer: Config['layers'][number]) => module({
  input_layernorm: rmsNorm(c.dim, c.eps, { offset: 1 }),
  self_attn: selfAttention(c, layer),
  post_attention_layernorm: rmsNorm(c.dim, c.eps, { offset: 1 }),
  pre_feedforward_layernorm: rmsNorm(c.dim, c.eps, { offset: 1 }),
  mlp: gatedMlp(c.dim, c.hidden, 'gelu_tanh'),
  post_feedforward_layernorm: rmsNorm(c.dim, c.eps, { offset: 1 }),
}, (m, x_TD: Tensor, step: Step) => {
  const h_TD = add(x_TD, m.post_attention_layernorm(m.self_attn(m.input_layernorm(x_TD), step)));
  return add(h_TD, m.post_feedforward_layernorm(m.mlp(m.pre_feedforward_layernorm(h_TD))));
});

export const gemma3 = family('gemma3', ['gemma3', 'gemma3_text'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied, embeddingScale: c.embeddingScale,
  layers: c.layers.map((layer) => block(c, layer)), norm: rmsNorm(c.dim, c.eps, { offset: 1 }),
}));
