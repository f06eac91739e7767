// Qwen3, dense and mixture of experts (arXiv:2505.09388). Versus Llama: RMSNorm on every query
// and key head before RoPE, head width free of hidden_size / heads, no biases. MoE layers: softmax
// router, top-k weights renormalised, no shared expert.
//
// T tokens, D model, N query heads, K key/value heads, H head width, k experts per token.

import { attention, decoder, experts, gatedMlp, kvCache, linear, mergeHeads, module, preNormBlock, reportRouting, rmsNorm, rotary, splitHeads } from '../nn/index.js';
import type { Step } from '../nn/index.js';
import { normalizeSum, softmax, topK } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('hidden_act', 'silu');
  hf.require('use_sliding_window', false);
  hf.multiple('num_attention_heads', 'num_key_value_heads');
  return {
    vocab: hf.int('vocab_size'), dim: hf.int('hidden_size'), layers: hf.int('num_hidden_layers'), hidden: hf.int('intermediate_size'),
    heads: hf.int('num_attention_heads'), kvHeads: hf.int('num_key_value_heads'), headDim: hf.int('head_dim', 128),
    context: hf.int('max_position_embeddings'), eps: hf.num('rms_norm_eps'), rope: hf.rope(), tied: hf.bool('tie_word_embeddings', false),
    attentionBias: hf.bool('attention_bias', false), moe: hf.modelType === 'qwen3_moe' ? moeConfig(hf) : null,
  };
}
function moeConfig(hf: HfConfig) {
  const dense = new Set(hf.list<number>('mlp_only_layers'));
  const step = hf.int('decoder_sparse_step', 1);
  return {
    experts: hf.int(hf.has('num_experts') ? 'num_experts' : 'num_local_experts'), perToken: hf.int('num_experts_per_tok'),
    hidden: hf.int('moe_intermediate_size'), renormalise: hf.bool('norm_topk_prob'),
    sparse: (layer: number) => !dense.has(layer) && (layer + 1) % step === 0,
  };
}
type Config = ReturnType<typeof config>;
type MoeConfig = ReturnType<typeof moeConfig>;

const selfAttention = (c: Config) => module({
  q_proj: linear(c.dim, c.heads * c.headDim, { bias: c.attentionBias }),
  k_proj: linear(c.dim, c.kvHeads * c.headDim, { bias: c.attentionBias }),
  v_proj: linear(c.dim, c.kvHeads * c.headDim, { bias: c.attentionBias }),
  o_proj: linear(c.heads * c.headDim, c.dim, { bias: c.attentionBias }),
  q_norm: rmsNorm(c.headDim, c.eps),
  k_norm: rmsNorm(c.headDim, c.eps),
  rotary: rotary(c.headDim, c.rope, 'half'),
  kv: kvCache([c.kvHeads, c.headDim], [c.kvHeads, c.headDim]),
}, (m, x_TD: Tensor, step: Step) => {
  const q_TNH = m.rotary(m.q_norm(splitHeads(m.q_proj(x_TD), c.heads)), step);
  const k_TKH = m.rotary(m.k_norm(splitHeads(m.k_proj(x_TD), c.kvHeads)), step);
  const past = step.append(m.kv, { k: k_TKH, v: splitHeads(m.v_proj(x_TD), c.kvHeads) });
  return m.o_proj(mergeHeads(attention(q_TNH, past, { scale: c.headDim ** -0.5 })));
});

const moe = (dim: number, c: MoeConfig) => module({
  gate: linear(dim, c.experts, { precise: true }),
  experts: experts(c.experts, dim, c.hidden),
}, (m, x_TD: Tensor) => {
  const scores_TE = softmax(m.gate(x_TD));
  const { values: p_Tk, indices } = topK(scores_TE, { k: c.perToken });
  reportRouting(() => ({ scores: scores_TE, indices }));
  return m.experts(x_TD, indices, c.renormalise ? normalizeSum(p_Tk, 0) : p_Tk);
});

export const qwen3 = family('qwen3', ['qwen3', 'qwen3_moe'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied,
  layers: Array.from({ length: c.layers }, (_, i) =>
    preNormBlock(c.dim, c.eps, selfAttention(c), c.moe?.sparse(i) ? moe(c.dim, c.moe) : gatedMlp(c.dim, c.hidden))), norm: rmsNorm(c.dim, c.eps),
}));
