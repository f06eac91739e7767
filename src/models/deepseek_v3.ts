// DeepSeek V3 and R1 (arXiv:2412.19437), DeepSeek V2-Lite, and Kimi K2 (arXiv:2507.20534), which
// is this file under another config. Multi-head latent attention: the cache holds one row per
// token, a normed latent and one rotated key part that all heads share. Mixture of experts:
// sigmoid router with a bias that only chooses, experts from the best groups, shared experts,
// the first layers dense. V2-Lite: softmax router, no groups, no query compression.
//
// T tokens, D model, N heads, R latent rank, P no-position part of a head, O rope part, V value
// width, k experts per token.

import {
  attention, decoder, experts, gatedMlp, headRows, latentCache, linear, mergeHeads, module, param, preNormBlock, reportRouting, rmsNorm, rotary, scoredBy, splitHeads, yarnMscale,
} from '../nn/index.js';
import type { RopeConfig, Step } from '../nn/index.js';
import { add, concat, gather, headLinear, linear as matmul, normalizeSum, scale, sigmoid, softmax, split, topK } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('hidden_act', 'silu');
  hf.require('attention_bias', false);
  hf.require('rope_interleave', true);
  const rope = hf.rope();
  const nopeDim = hf.int('qk_nope_head_dim');
  const ropeDim = hf.int('qk_rope_head_dim');
  return {
    vocab: hf.int('vocab_size'), dim: hf.int('hidden_size'), layers: hf.int('num_hidden_layers'), hidden: hf.int('intermediate_size'),
    context: hf.int('max_position_embeddings'), eps: hf.num('rms_norm_eps'), tied: hf.bool('tie_word_embeddings', false),
    heads: hf.int('num_attention_heads'), qRank: hf.has('q_lora_rank') ? hf.int('q_lora_rank') : null, kvRank: hf.int('kv_lora_rank'),
    nopeDim, ropeDim, valueDim: hf.int('v_head_dim'), rope, scale: (nopeDim + ropeDim) ** -0.5 * softmaxScale(rope),
    denseLayers: hf.count('first_k_dense_replace'), moeEvery: hf.int('moe_layer_freq', 1), moe: moeConfig(hf),
  };
}

// DeepSeek V3 as a class documents its routing keys' defaults; V2 has plain softmax routing.
function moeConfig(hf: HfConfig) {
  const v2 = hf.modelType === 'deepseek_v2';
  hf.require('scoring_func', 'sigmoid', 'softmax');
  hf.require('topk_method', 'noaux_tc', 'greedy', 'group_limited_greedy');
  const method = hf.str('topk_method', v2 ? 'greedy' : 'noaux_tc');
  const groups = method === 'greedy' ? 1 : hf.int('n_group');
  if (groups > 1) hf.multiple('n_routed_experts', 'n_group');
  return {
    experts: hf.int('n_routed_experts'), perToken: hf.int('num_experts_per_tok'), hidden: hf.int('moe_intermediate_size'),
    shared: hf.count('n_shared_experts'), groups, groupsPicked: groups > 1 ? hf.int('topk_group') : 1,
    groupScore: method === 'noaux_tc' ? 'sum2' as const : 'max' as const, biased: method === 'noaux_tc',
    score: hf.str('scoring_func', v2 ? 'softmax' : 'sigmoid') === 'sigmoid' ? sigmoid : softmax,
    renormalise: hf.bool('norm_topk_prob', !v2), scale: hf.num('routed_scaling_factor'),
  };
}
type Config = ReturnType<typeof config>;

/** YaRN sharpens the softmax too (DeepSeek's own code; transformers leaves it out of V2). */
function softmaxScale({ scaling }: RopeConfig): number {
  return scaling.type === 'yarn' && scaling.mscaleAllDim ? yarnMscale(scaling.factor, scaling.mscaleAllDim) ** 2 : 1;
}

// Absorbed form: kv_b_proj's key half moves onto the query and its value half onto the output, so
// that attention reads latent rows as one shared key/value head and never expands them.
const latentAttention = (c: Config) => scoredBy(module({
  q_proj: c.qRank ? null : linear(c.dim, c.heads * (c.nopeDim + c.ropeDim)),
  q_a_proj: c.qRank ? linear(c.dim, c.qRank) : null,
  q_a_layernorm: c.qRank ? rmsNorm(c.qRank, c.eps) : null,
  q_b_proj: c.qRank ? linear(c.qRank, c.heads * (c.nopeDim + c.ropeDim)) : null,
  kv_a_proj_with_mqa: linear(c.dim, c.kvRank + c.ropeDim),
  kv_a_layernorm: rmsNorm(c.kvRank, c.eps),
  kv_b_proj: linear(c.kvRank, c.heads * (c.nopeDim + c.valueDim)),
  o_proj: linear(c.heads * c.valueDim, c.dim),
  rotary: rotary(c.ropeDim, c.rope, 'interleaved'),
  kv: latentCache(c.kvRank + c.ropeDim, c.kvRank),
}, (m, x_TD: Tensor, step: Step) => {
  const q = m.q_proj ? m.q_proj(x_TD) : m.q_b_proj!(m.q_a_layernorm!(m.q_a_proj!(x_TD)));
  const [q_TNP, q_TNO] = split(splitHeads(q, c.heads), [c.nopeDim, c.ropeDim]);
  const [latent_TR, k_TO] = split(m.kv_a_proj_with_mqa(x_TD), [c.kvRank, c.ropeDim]);
  const row_TRO = concat(m.kv_a_layernorm(latent_TR), mergeHeads(m.rotary(splitHeads(k_TO, 1), step)));
  const past = step.append(m.kv, { k: splitHeads(row_TRO, 1) });

  const w = m.kv_b_proj.parts.weight.tensor;
  const q_TNR = headLinear(q_TNP, w, { start: 0, rows: c.nopeDim, transposed: true });
  const o_TNR = attention(concat(q_TNR, m.rotary(q_TNO, step)), past, { scale: c.scale });
  return m.o_proj(mergeHeads(headLinear(o_TNR, w, { start: c.nopeDim, rows: c.valueDim, transposed: false })));
}), (m) => {
  // The rotated key part is all heads' own: queries take the whole factor there (Kimi K2, section 2.1).
  const [q, width] = [(m.q_proj ?? m.q_b_proj)!, c.nopeDim + c.ropeDim];
  return [
    headRows(q, c.heads, width, { rows: c.nopeDim }), headRows(q, c.heads, width, { start: c.nopeDim, rows: c.ropeDim, power: 1 }),
    headRows(m.kv_b_proj, c.heads, c.nopeDim + c.valueDim, { rows: c.nopeDim }),
  ];
});

const router = (c: Config) => module({
  weight: param([c.moe.experts, c.dim], { precise: true }),
  e_score_correction_bias: c.moe.biased ? param([c.moe.experts], { init: { constant: 0 }, frozen: true, precise: true }) : null,
}, (m, x_TD: Tensor) => {
  const { perToken: k, groups, groupsPicked, groupScore, renormalise, scale: factor } = c.moe;
  const scores_TE = c.moe.score(matmul(x_TD, m.weight.tensor));
  const choice_TE = m.e_score_correction_bias ? add(scores_TE, m.e_score_correction_bias.tensor) : scores_TE;
  const { indices } = topK(choice_TE, { k, groups, groupsPicked, groupScore });
  reportRouting(() => ({ scores: scores_TE, indices, bias: m.e_score_correction_bias ?? undefined }));
  const raw_Tk = gather(scores_TE, indices);
  return { indices, weights_Tk: scale(renormalise ? normalizeSum(raw_Tk, 1e-20) : raw_Tk, factor) };
});

const moe = (c: Config) => module({
  gate: router(c),
  experts: experts(c.moe.experts, c.dim, c.moe.hidden),
  shared_experts: c.moe.shared ? gatedMlp(c.dim, c.moe.hidden * c.moe.shared) : null,
}, (m, x_TD: Tensor) => {
  const { indices, weights_Tk } = m.gate(x_TD);
  const routed_TD = m.experts(x_TD, indices, weights_Tk);
  return m.shared_experts ? add(routed_TD, m.shared_experts(x_TD)) : routed_TD;
});

export const deepseekV3 = family('deepseek_v3', ['deepseek_v3', 'deepseek_v2', 'kimi_k2'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied,
  layers: Array.from({ length: c.layers }, (_, i) =>
    preNormBlock(c.dim, c.eps, latentAttention(c), i >= c.denseLayers && i % c.moeEvery === 0 ? moe(c) : gatedMlp(c.dim, c.hidden))), norm: rmsNorm(c.dim, c.eps),
}), { kimi_k2: 'deepseek_v3' });
