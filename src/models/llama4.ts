// Llama 4 (Scout, Maverick), text: three layers with RoPE and attention within chunks to one
// without positions that sees everything and sharpens its queries with distance; on RoPE layers
// queries and keys are normed without a weight after RoPE (where the config says so). MoE layers
// take one expert by logit and scale that expert's INPUT by the sigmoid of it, beside a shared one.
//
// T tokens, D model, N query heads, K key/value heads, H head width, E experts.

import { attention, decoder, gatedMlp, headRows, kvCache, linear, mergeHeads, module, param, reportRouting, rmsNorm, rotary, scoredBy, splitHeads } from '../nn/index.js';
import type { Step } from '../nn/index.js';
import { add, expertLinear, mul, outer, reshape, rmsNorm as norm, sigmoid, silu, temperature, topK } from '../tensor/index.js';
import type { Tensor } from '../tensor/index.js';
import type { HfConfig } from './config.js';
import { family } from './family.js';

function config(hf: HfConfig) {
  hf.require('hidden_act', 'silu');
  hf.multiple('num_attention_heads', 'num_key_value_heads');
  hf.require('num_experts_per_tok', 1);
  const layers = hf.int('num_hidden_layers');
  const interval = hf.int('no_rope_layer_interval', 4);
  const listed = hf.perLayer('no_rope_layers', layers, [0, 1]); // despite its name, 1 means "uses RoPE"
  const moeLayers = hf.list<number>('moe_layers');
  const moeStep = hf.int('interleave_moe_layer_step', 1);
  return {
    vocab: hf.int('vocab_size'), dim: hf.int('hidden_size'), heads: hf.int('num_attention_heads'), kvHeads: hf.int('num_key_value_heads'),
    headDim: hf.int('head_dim'), context: hf.int('max_position_embeddings'), eps: hf.num('rms_norm_eps'), rope: hf.rope(),
    tied: hf.bool('tie_word_embeddings', false), hidden: hf.int('intermediate_size_mlp'), expertHidden: hf.int('intermediate_size'),
    experts: hf.int('num_local_experts'), qkNorm: hf.bool('use_qk_norm', true),
    chunk: hf.int('attention_chunk_size', 8192),
    temperature: hf.flag('attn_temperature_tuning', true) ? { floorScale: hf.int('floor_scale', 8192), strength: hf.num('attn_scale', 0.1) } : null,
    layers: Array.from({ length: layers }, (_, i) => ({
      usesRope: listed ? listed[i] === 1 : (i + 1) % interval !== 0,
      sparse: moeLayers ? moeLayers.includes(i) : (i + 1) % moeStep === 0,
    })),
  };
}
type Config = ReturnType<typeof config>;
type Layer = Config['layers'][number];

const selfAttention = (c: Config, layer: Layer) => scoredBy(module({
  q_proj: linear(c.dim, c.heads * c.headDim),
  k_proj: linear(c.dim, c.kvHeads * c.headDim),
  v_proj: linear(c.dim, c.kvHeads * c.headDim),
  o_proj: linear(c.heads * c.headDim, c.dim),
  rotary: layer.usesRope ? rotary(c.headDim, c.rope, 'interleaved') : null,
  kv: kvCache([c.kvHeads, c.headDim], [c.kvHeads, c.headDim], layer.usesRope ? { chunk: c.chunk } : {}),
}, (m, x_TD: Tensor, step: Step) => {
  const place = (x: Tensor) => {
    const turned = m.rotary ? m.rotary(x, step) : x;
    return m.rotary && c.qkNorm ? norm(turned, undefined, { eps: c.eps, offset: 0 }) : turned;
  };
  let q_TNH = place(splitHeads(m.q_proj(x_TD), c.heads));
  if (!m.rotary && c.temperature) q_TNH = temperature(q_TNH, step.positions, c.temperature);
  const k_TKH = place(splitHeads(m.k_proj(x_TD), c.kvHeads));
  const past = step.append(m.kv, { k: k_TKH, v: splitHeads(m.v_proj(x_TD), c.kvHeads) });
  return m.o_proj(mergeHeads(attention(q_TNH, past, { scale: c.headDim ** -0.5 })));
}), (m) => (layer.usesRope && c.qkNorm ? [] : [headRows(m.q_proj, c.heads, c.headDim), headRows(m.k_proj, c.kvHeads, c.headDim)]));

// Stored fused and as x @ W: gate_up_proj [E, D, 2 hidden], down_proj [E, hidden, D].
const experts = (count: number, dim: number, hidden: number) => {
  const half = (start: number) => param([count, hidden, dim], {
    pieces: [{ name: 'gate_up_proj', shape: [count, dim, 2 * hidden], columns: [start, hidden], transposed: true }],
  });
  return module({
    gate_proj: half(0),
    up_proj: half(hidden),
    down_proj: param([count, dim, hidden], { pieces: [{ name: 'down_proj', shape: [count, hidden, dim], transposed: true }] }),
  }, (m, x_TkD: Tensor, indices_Tk: Tensor) => {
    const gate = silu(expertLinear(x_TkD, m.gate_proj.tensor, indices_Tk));
    return expertLinear(mul(gate, expertLinear(x_TkD, m.up_proj.tensor, indices_Tk)), m.down_proj.tensor, indices_Tk);
  });
};

const moe = (c: Config) => module({
  router: linear(c.dim, c.experts, { precise: true }),
  experts: experts(c.experts, c.dim, c.expertHidden),
  shared_expert: gatedMlp(c.dim, c.expertHidden),
}, (m, x_TD: Tensor) => {
  const logits_TE = m.router(x_TD);
  const { values: logit_T1, indices: expert_T1 } = topK(logits_TE, { k: 1 });
  reportRouting(() => ({ scores: sigmoid(logits_TE), indices: expert_T1 }));
  const y_T1D = m.experts(outer(sigmoid(logit_T1), x_TD), expert_T1);
  return add(m.shared_expert(x_TD), reshape(y_T1D, x_TD.shape));
});

const block = (c: Config, layer: Layer) => module({
  input_layernorm: rmsNorm(c.dim, c.eps),
  self_attn: selfAttention(c, layer),
  post_attention_layernorm: rmsNorm(c.dim, c.eps),
  feed_forward: layer.sparse ? moe(c) : gatedMlp(c.dim, c.hidden),
}, (m, x_TD: Tensor, step: Step) => {
  const h_TD = add(x_TD, m.self_attn(m.input_layernorm(x_TD), step));
  return add(h_TD, m.feed_forward(m.post_attention_layernorm(h_TD)));
});

export const llama4 = family('llama4', ['llama4', 'llama4_text'], config, (c) => decoder({
  vocab: c.vocab, dim: c.dim, context: c.context, tied: c.tied,
  layers: c.layers.map((layer) => block(c, layer)), norm: rmsNorm(c.dim, c.eps),
}));
