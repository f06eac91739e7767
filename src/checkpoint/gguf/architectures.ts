// llama.cpp's architectures as the families know them: for each, the hub's config from the metadata,
// the metadata from a config, and the rules of its tensors. Keys and defaults are those of llama.cpp's
// converters and loaders (conversion/*.py, src/models/*.cpp). What a GGUF file does not say is what
// llama.cpp has fixed in code, and is stated here as such.

import type { JsonObject } from '../json.js';
import type { GgufFacts, HubConfig } from './facts.js';
import { fusedExperts, latent, lessOne, part, rotated, same, stackedExperts, swapped } from './rules.js';
import type { Rule } from './rules.js';
import { float32, uint32 } from './write.js';
import type { WritableValue } from './write.js';

export interface Architecture {
  /** `general.architecture`. */
  readonly name: string;
  /** `model_type` values of configs that become this architecture. */
  readonly modelTypes: readonly string[];
  /** The hub's config. `vocab_size`, special tokens and the scaling kept in rope_freqs are added by the caller. */
  config(facts: GgufFacts): JsonObject;
  /** Metadata without the architecture's prefix. `vocab_size` is added by the caller. */
  metadata(config: HubConfig): Record<string, WritableValue>;
  rules(config: HubConfig): Rule[];
}

/** `{ [key]: value }`, or nothing where the value is undefined. */
const where = <T>(key: string, value: T | undefined): Record<string, T> => (value === undefined ? {} : { [key]: value });

/** What every architecture but GPT-2 has, under the names of Llama's config. */
function llamaLike(facts: GgufFacts): JsonObject {
  const [dim, heads] = [facts.number('embedding_length'), facts.number('attention.head_count')];
  const headDim = facts.number('attention.key_length', dim / heads);
  facts.refuse(facts.number('attention.value_length', headDim) !== headDim, 'values of another width than keys');
  facts.refuse(facts.number('rope.dimension_count', headDim) !== headDim, 'RoPE on a part of each head');
  return {
    hidden_size: dim, num_hidden_layers: facts.number('block_count'), intermediate_size: facts.optional('feed_forward_length') ?? 0,
    num_attention_heads: heads, num_key_value_heads: facts.number('attention.head_count_kv', heads), head_dim: headDim,
    max_position_embeddings: facts.number('context_length'), rms_norm_eps: facts.number('attention.layer_norm_rms_epsilon'),
    rope_theta: facts.number('rope.freq_base', 10000), rope_scaling: ropeScaling(facts),
    tie_word_embeddings: !facts.hasTensor('output.weight'),
  };
}

const hasBias = (facts: GgufFacts): JsonObject => ({ attention_bias: facts.hasTensor('blk.0.attn_output.bias') });
const silu = { hidden_act: 'silu' };

/** `rope_scaling` from rope.scaling.*; the older rope.scale_linear is read too. */
function ropeScaling(facts: GgufFacts): JsonObject | null {
  const linear = facts.optional('rope.scale_linear');
  const type = facts.text('rope.scaling.type') ?? (linear === undefined ? 'none' : 'linear');
  if (type === 'none') return null;
  const factor = facts.optional('rope.scaling.factor') ?? linear ?? 1;
  if (type === 'linear') return factor === 1 ? null : { rope_type: 'linear', factor };
  facts.refuse(type !== 'yarn', `RoPE scaling of type ${type}`);
  // llama.cpp multiplies its own correction by attn_factor; the hub's attention_factor replaces it.
  const ownFactor = facts.optional('rope.scaling.attn_factor') ?? facts.optional('rope.scaling.yarn_attn_factor');
  return {
    rope_type: 'yarn', factor, original_max_position_embeddings: facts.number('rope.scaling.original_context_length'),
    beta_fast: facts.number('rope.scaling.yarn_beta_fast', 32), beta_slow: facts.number('rope.scaling.yarn_beta_slow', 1),
    ...where('attention_factor', ownFactor === undefined ? undefined : ownFactor * (0.1 * Math.log(factor) + 1)),
  };
}

function llamaLikeMetadata(config: HubConfig): Record<string, WritableValue> {
  const [dim, heads] = [config.number('hidden_size'), config.number('num_attention_heads')];
  const headDim = config.number('head_dim', dim / heads);
  return {
    ...sizes(config, headDim),
    'attention.head_count_kv': uint32(config.number('num_key_value_heads', heads)),
    'attention.key_length': uint32(headDim), 'attention.value_length': uint32(headDim), 'rope.dimension_count': uint32(headDim),
    ...ropeMetadata(config),
  };
}

function sizes(config: HubConfig, headDim: number): Record<string, WritableValue> {
  config.require(headDim % 2 === 0, 'that heads have an odd width');
  return {
    block_count: uint32(config.number('num_hidden_layers')), context_length: uint32(config.number('max_position_embeddings')),
    embedding_length: uint32(config.number('hidden_size')), feed_forward_length: uint32(config.number('intermediate_size')),
    'attention.head_count': uint32(config.number('num_attention_heads')),
    'attention.layer_norm_rms_epsilon': float32(config.number('rms_norm_eps')),
  };
}

/** llama3 scaling has no keys: it goes into rope_freqs.weight. */
function ropeMetadata(config: HubConfig, layerType?: string, defaultTheta = 10000): Record<string, WritableValue> {
  const { type, theta, scaling } = config.rope(layerType, defaultTheta);
  const base = { 'rope.freq_base': float32(theta) };
  if (type === 'default' || type === 'llama3') return base;
  config.require(type === 'linear' || type === 'yarn', `that RoPE is scaled by the rule ${type}`);
  const original = scaling.optional('original_max_position_embeddings');
  const factor = scaling.optional('factor') ?? config.number('max_position_embeddings') / (original ?? NaN);
  const scaled = { ...base, 'rope.scaling.type': type, 'rope.scaling.factor': float32(factor), ...where('rope.scaling.original_context_length', original === undefined ? undefined : uint32(original)) };
  if (type === 'linear') return scaled;
  const attention = scaling.optional('attention_factor');
  return {
    ...scaled, 'rope.scaling.yarn_beta_fast': float32(scaling.number('beta_fast', 32)), 'rope.scaling.yarn_beta_slow': float32(scaling.number('beta_slow', 1)),
    ...where('rope.scaling.attn_factor', attention === undefined ? undefined : float32(attention / (0.1 * Math.log(factor) + 1))),
  };
}

const frame = [same('model.embed_tokens.weight', 'token_embd.weight'), same('model.norm.weight', 'output_norm.weight'), same('lm_head.weight', 'output.weight')];
const mlp = [...part('mlp.gate_proj', 'ffn_gate'), ...part('mlp.up_proj', 'ffn_up'), ...part('mlp.down_proj', 'ffn_down')];
const preNorms = [...part('input_layernorm', 'attn_norm'), ...part('post_attention_layernorm', 'ffn_norm')];
const valueAndOutput = [...part('self_attn.v_proj', 'attn_v'), ...part('self_attn.o_proj', 'attn_output')];
const attention = [...part('self_attn.q_proj', 'attn_q'), ...part('self_attn.k_proj', 'attn_k'), ...valueAndOutput];
const qkNorms = [...part('self_attn.q_norm', 'attn_q_norm'), ...part('self_attn.k_norm', 'attn_k_norm')];
const router = (hub: string) => part(hub, 'ffn_gate_inp', (a, b) => same(a, b, { precise: true }));

/** Attention whose q and k rows llama.cpp's converter permutes. */
const rotatedAttention = (config: HubConfig): Rule[] => {
  const heads = config.number('num_attention_heads');
  return [
    ...part('self_attn.q_proj', 'attn_q', rotated(heads)), ...part('self_attn.k_proj', 'attn_k', rotated(config.number('num_key_value_heads', heads))), ...valueAndOutput,
  ];
};
const llamaRules = (config: HubConfig): Rule[] => [...frame, ...preNorms, ...rotatedAttention(config), ...mlp];

const llama: Architecture = {
  name: 'llama', modelTypes: ['llama'],
  config(facts) {
    facts.refuse(facts.number('expert_count', 0) > 0, 'experts (Mixtral)');
    // Older converters wrote Mistral Small as llama; its tokenizer tells. The computation is the same.
    const mistral = facts.metadata.get('tokenizer.ggml.pre') === 'tekken';
    return { model_type: mistral ? 'mistral' : 'llama', architectures: [mistral ? 'MistralForCausalLM' : 'LlamaForCausalLM'], ...llamaLike(facts), ...silu, ...hasBias(facts) };
  },
  metadata: llamaLikeMetadata,
  rules: llamaRules,
};

const mistral3: Architecture = {
  name: 'mistral3', modelTypes: ['mistral', 'mistral3'],
  config(facts) {
    facts.refuse(facts.number('expert_count', 0) > 0, 'experts');
    facts.refuse(facts.number('attention.temperature_scale', 0) !== 0, 'attention temperature (Ministral 3)');
    return { model_type: 'mistral', architectures: ['MistralForCausalLM'], ...llamaLike(facts), ...silu, sliding_window: null };
  },
  metadata(config) {
    config.require(!config.has('sliding_window'), 'that Mistral attends within a window');
    return llamaLikeMetadata(config);
  },
  rules: llamaRules,
};

const smollm3: Architecture = {
  name: 'smollm3', modelTypes: ['smollm3'],
  // llama.cpp leaves RoPE out of every fourth layer, whatever the file says.
  config: (facts) => ({ model_type: 'smollm3', architectures: ['SmolLM3ForCausalLM'], ...llamaLike(facts), ...silu, no_rope_layer_interval: 4 }),
  metadata(config) {
    requireEveryFourth(config);
    return llamaLikeMetadata(config);
  },
  rules: llamaRules,
};

function requireEveryFourth(config: HubConfig): void {
  const listed = config.list('no_rope_layers');
  const regular = listed ? listed.every((usesRope, i) => (usesRope === 1) === ((i + 1) % 4 !== 0)) : config.number('no_rope_layer_interval', 4) === 4;
  config.require(regular, 'which layers have no RoPE (other than every fourth)');
}

const olmo2: Architecture = {
  name: 'olmo2', modelTypes: ['olmo2'],
  config(facts) {
    facts.refuse(facts.number('attention.sliding_window', 0) > 0, 'sliding windows (OLMo 3)');
    const { head_dim: _, ...config } = llamaLike(facts);
    return { model_type: 'olmo2', architectures: ['Olmo2ForCausalLM'], ...config, ...silu };
  },
  metadata: llamaLikeMetadata,
  rules: () => [...frame, ...attention, ...qkNorms, ...mlp, ...part('post_attention_layernorm', 'post_attention_norm'), ...part('post_feedforward_layernorm', 'post_ffw_norm')],
};

const qwen3: Architecture = {
  name: 'qwen3', modelTypes: ['qwen3'],
  config: (facts) => ({ model_type: 'qwen3', architectures: ['Qwen3ForCausalLM'], ...llamaLike(facts), ...silu, ...hasBias(facts) }),
  metadata: (config) => llamaLikeMetadata(config),
  rules: () => [...frame, ...preNorms, ...attention, ...qkNorms, ...mlp],
};

const qwen3moe: Architecture = {
  name: 'qwen3moe', modelTypes: ['qwen3_moe'],
  config(facts) {
    const perToken = facts.number('expert_used_count');
    const base = llamaLike(facts);
    // llama.cpp renormalises always and makes every layer sparse.
    return {
      model_type: 'qwen3_moe', architectures: ['Qwen3MoeForCausalLM'], ...base, ...silu, ...hasBias(facts),
      num_experts: facts.number('expert_count'), num_experts_per_tok: perToken, norm_topk_prob: true, decoder_sparse_step: 1, mlp_only_layers: [],
      moe_intermediate_size: facts.number('expert_feed_forward_length', (base.intermediate_size as number) / perToken),
    };
  },
  metadata(config) {
    config.require(config.number('decoder_sparse_step', 1) === 1 && !config.list('mlp_only_layers'), 'that some layers have no experts');
    config.require(config.flag('norm_topk_prob', false), 'that expert weights are not renormalised');
    return {
      ...llamaLikeMetadata(config), expert_count: uint32(experts(config)), expert_used_count: uint32(config.number('num_experts_per_tok')),
      expert_feed_forward_length: uint32(config.number('moe_intermediate_size')),
    };
  },
  rules: (config) => [...frame, ...preNorms, ...attention, ...qkNorms, ...router('mlp.gate'), ...stackedExperts('mlp.experts', experts(config))],
};

/** How many experts a layer has, under any of the families' names for it; 0 for none. */
export function experts(config: HubConfig): number {
  return config.optional('num_experts') ?? config.optional('num_local_experts') ?? config.optional('n_routed_experts') ?? 0;
}

// Gemma 3 27B alone scales its queries by hidden / heads; llama.cpp knows it by its layers.
const LAYERS_OF_27B = 62;

const gemma3: Architecture = {
  name: 'gemma3', modelTypes: ['gemma3', 'gemma3_text'],
  config(facts) {
    facts.refuse(facts.number('final_logit_softcapping', 0) !== 0, 'soft capping');
    const base = llamaLike(facts);
    const window = facts.number('attention.sliding_window', 0);
    const pattern = facts.get('attention.sliding_window_pattern') ?? 6;
    const isLocal = (i: number): boolean => window > 0 && (Array.isArray(pattern) ? Boolean(pattern[i]) : (i + 1) % Number(pattern) !== 0);
    const layers = base.num_hidden_layers as number;
    return {
      model_type: 'gemma3_text', architectures: ['Gemma3ForCausalLM'], ...base, hidden_activation: 'gelu_pytorch_tanh', sliding_window: window || null,
      layer_types: Array.from({ length: Math.min(layers, 4096) }, (_, i) => (isLocal(i) ? 'sliding_attention' : 'full_attention')),
      rope_local_base_freq: facts.number('rope.freq_base_swa', 10000),
      query_pre_attn_scalar: layers === LAYERS_OF_27B ? (base.hidden_size as number) / (base.num_attention_heads as number) : base.head_dim,
    };
  },
  metadata(config) {
    const [dim, heads, headDim, layers] = [config.number('hidden_size'), config.number('num_attention_heads', 8), config.number('head_dim', 256), config.number('num_hidden_layers')];
    config.require(config.number('query_pre_attn_scalar', 256) === (layers === LAYERS_OF_27B ? dim / heads : headDim), 'a query_pre_attn_scalar');
    config.require(!config.has('final_logit_softcapping') && !config.has('attn_logit_softcapping'), 'soft capping for Gemma 3');
    const local = config.has('rope_parameters') ? config.rope('sliding_attention').theta : config.number('rope_local_base_freq', 10000);
    const period = localPeriod(config, layers);
    const defaults = { num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, max_position_embeddings: 131072, rms_norm_eps: 1e-6 };
    const full = config.with(defaults);
    return {
      ...llamaLikeMetadata(full), ...ropeMetadata(full, 'full_attention', 1e6), 'attention.sliding_window': uint32(config.number('sliding_window')),
      ...where('attention.sliding_window_pattern', period === 6 ? undefined : uint32(period)),
      ...where('rope.freq_base_swa', local === 10000 ? undefined : float32(local)),
    };
  },
  rules: () => [
    frame[0], frame[2], lessOne('model.norm.weight', 'output_norm.weight'), ...attention, ...mlp,
    ...part('self_attn.q_norm', 'attn_q_norm', lessOne), ...part('self_attn.k_norm', 'attn_k_norm', lessOne),
    ...part('input_layernorm', 'attn_norm', lessOne), ...part('post_attention_layernorm', 'post_attention_norm', lessOne),
    ...part('pre_feedforward_layernorm', 'ffn_norm', lessOne), ...part('post_feedforward_layernorm', 'post_ffw_norm', lessOne),
  ],
};

/** Of how many layers the last is global. */
function localPeriod(config: HubConfig, layers: number): number {
  const types = config.list('layer_types');
  const period = types ? types.indexOf('full_attention') + 1 || layers + 1 : config.optional('sliding_window_pattern') ?? config.number('_sliding_window_pattern', 6);
  config.require(!types || types.every((type, i) => (type === 'full_attention') === ((i + 1) % period === 0)), 'an irregular order of local and global layers');
  return period;
}

const llama4: Architecture = {
  name: 'llama4', modelTypes: ['llama4', 'llama4_text'],
  config(facts) {
    facts.refuse(facts.get('attention.sliding_window') === 0, 'RoPE in every layer (MobileLLM)');
    const count = facts.number('expert_count');
    const base = llamaLike(facts);
    // Chunks, temperature and the place of QK norm are fixed in llama.cpp.
    return {
      model_type: 'llama4_text', architectures: ['Llama4ForCausalLM'], ...base, ...silu, intermediate_size: facts.number('expert_feed_forward_length'),
      intermediate_size_mlp: base.intermediate_size, num_local_experts: count, num_experts_per_tok: facts.number('expert_used_count', 1),
      interleave_moe_layer_step: facts.number('interleave_moe_layer_step'), use_qk_norm: count !== 128, no_rope_layer_interval: 4,
      attention_chunk_size: 8192, attn_temperature_tuning: true, floor_scale: 8192, attn_scale: 0.1,
    };
  },
  metadata(config) {
    const [count, step] = [experts(config), config.number('interleave_moe_layer_step', 1)];
    requireEveryFourth(config);
    config.require(config.number('attention_chunk_size', 8192) === 8192, 'an attention_chunk_size other than 8192');
    config.require(config.flag('attn_temperature_tuning', true) && config.number('floor_scale', 8192) === 8192 && config.number('attn_scale', 0.1) === 0.1, 'how attention temperature is tuned');
    config.require(config.flag('use_qk_norm', true) === (count !== 128), 'use_qk_norm (llama.cpp norms unless there are 128 experts)');
    const sparse = config.list('moe_layers');
    config.require(!sparse || sparse.every((layer) => (Number(layer) + 1) % step === 0), 'an irregular order of layers with experts');
    return {
      ...llamaLikeMetadata(config), feed_forward_length: uint32(config.number('intermediate_size_mlp')), expert_feed_forward_length: uint32(config.number('intermediate_size')),
      interleave_moe_layer_step: uint32(step), expert_count: uint32(count), expert_used_count: uint32(config.number('num_experts_per_tok', 1)),
    };
  },
  rules: () => [
    ...frame, ...preNorms, ...attention, ...router('feed_forward.router'), ...fusedExperts('feed_forward.experts'),
    ...(['gate', 'up', 'down'] as const).flatMap((kind) => [
      ...part(`feed_forward.${kind}_proj`, `ffn_${kind}`), ...part(`feed_forward.shared_expert.${kind}_proj`, `ffn_${kind}_shexp`),
    ]),
  ],
};

const deepseek2: Architecture = {
  name: 'deepseek2', modelTypes: ['deepseek_v3', 'deepseek_v2', 'kimi_k2'],
  config(facts) {
    const ropeDim = facts.number('rope.dimension_count');
    const dense = facts.number('leading_dense_block_count', 0);
    // Files from before 2025 have no widths "as MLA": the plain ones are those of the expanded heads.
    const [keyWidth, valueWidth] = [facts.optional('attention.key_length_mla') ?? facts.number('attention.key_length'), facts.optional('attention.value_length_mla') ?? facts.number('attention.value_length')];
    const groups = facts.number('expert_group_count', 1);
    const biased = facts.hasTensor(`blk.${dense}.exp_probs_b.bias`);
    return {
      model_type: biased ? 'deepseek_v3' : 'deepseek_v2', architectures: [biased ? 'DeepseekV3ForCausalLM' : 'DeepseekV2ForCausalLM'],
      hidden_size: facts.number('embedding_length'), num_hidden_layers: facts.number('block_count') - facts.number('nextn_predict_layers', 0), intermediate_size: facts.number('feed_forward_length'),
      num_attention_heads: facts.number('attention.head_count'), num_key_value_heads: facts.number('attention.head_count'),
      max_position_embeddings: facts.number('context_length'), rms_norm_eps: facts.number('attention.layer_norm_rms_epsilon'), ...silu, attention_bias: false,
      q_lora_rank: facts.optional('attention.q_lora_rank') ?? null, kv_lora_rank: facts.number('attention.kv_lora_rank'),
      qk_nope_head_dim: keyWidth - ropeDim, qk_rope_head_dim: ropeDim, v_head_dim: valueWidth,
      n_routed_experts: facts.number('expert_count'), num_experts_per_tok: facts.number('expert_used_count'), n_shared_experts: facts.number('expert_shared_count', 0),
      moe_intermediate_size: facts.number('expert_feed_forward_length'), first_k_dense_replace: dense, moe_layer_freq: 1,
      routed_scaling_factor: facts.number('expert_weights_scale', 1) || 1, norm_topk_prob: facts.flag('expert_weights_norm', false),
      scoring_func: facts.number('expert_gating_func', SOFTMAX) === SIGMOID ? 'sigmoid' : 'softmax',
      topk_method: biased ? 'noaux_tc' : groups > 1 ? 'group_limited_greedy' : 'greedy', n_group: groups, topk_group: facts.number('expert_group_used_count', 1),
      rope_theta: facts.number('rope.freq_base', 10000), rope_scaling: deepseekScaling(facts), tie_word_embeddings: !facts.hasTensor('output.weight'),
    };
  },
  metadata: deepseekMetadata,
  rules: (config) => [
    ...frame, ...preNorms, ...mlp, ...part('self_attn.q_proj', 'attn_q'), ...part('self_attn.q_a_proj', 'attn_q_a'), ...part('self_attn.q_a_layernorm', 'attn_q_a_norm'),
    ...part('self_attn.q_b_proj', 'attn_q_b'), ...part('self_attn.kv_a_proj_with_mqa', 'attn_kv_a_mqa'), ...part('self_attn.kv_a_layernorm', 'attn_kv_a_norm'),
    ...latent(config.number('num_attention_heads'), config.number('qk_nope_head_dim'), config.number('v_head_dim')), ...part('self_attn.o_proj', 'attn_output'),
    ...router('mlp.gate'), same('model.layers.{N}.mlp.gate.e_score_correction_bias', 'blk.{N}.exp_probs_b.bias', { precise: true }), ...stackedExperts('mlp.experts', experts(config)),
    ...(['gate', 'up', 'down'] as const).flatMap((kind) => part(`mlp.shared_experts.${kind}_proj`, `ffn_${kind}_shexp`)),
  ],
};

// ggml's numbers for how router scores are made.
const SOFTMAX = 1;
const SIGMOID = 2;

/** llama.cpp keeps a tenth of mscale_all_dim and takes mscale to equal it, which leaves cos and sin as they are. */
function deepseekScaling(facts: GgufFacts): JsonObject | null {
  const scaling = ropeScaling(facts);
  if (scaling?.rope_type !== 'yarn') return scaling;
  const tenth = facts.optional('rope.scaling.yarn_log_multiplier');
  const mscale = tenth === undefined ? undefined : Math.round(tenth * 1e7) / 1e6;
  return mscale ? { ...scaling, mscale, mscale_all_dim: mscale } : { ...scaling, attention_factor: 1 };
}

function deepseekMetadata(config: HubConfig): Record<string, WritableValue> {
  const [kvRank, ropeDim] = [config.number('kv_lora_rank'), config.number('qk_rope_head_dim')];
  const v2 = config.modelType === 'deepseek_v2';
  const score = config.raw.scoring_func ?? (v2 ? 'softmax' : 'sigmoid');
  const { type, scaling } = config.rope(undefined, 10000);
  const mscaleAll = type === 'yarn' ? scaling.optional('mscale_all_dim') : undefined;
  config.require(config.number('moe_layer_freq', 1) === 1, 'that some layers have no experts');
  config.require(mscaleAll === undefined || scaling.optional('mscale') === mscaleAll, 'an mscale other than mscale_all_dim');
  config.require(config.raw.topk_method !== 'group_limited_greedy', 'that groups are chosen by their best expert');
  return {
    ...sizes(config, ropeDim), ...ropeMetadata(config), 'rope.dimension_count': uint32(ropeDim), 'attention.head_count_kv': uint32(1),
    'attention.kv_lora_rank': uint32(kvRank), ...where('attention.q_lora_rank', config.has('q_lora_rank') ? uint32(config.number('q_lora_rank')) : undefined),
    'attention.key_length': uint32(kvRank + ropeDim), 'attention.value_length': uint32(kvRank),
    'attention.key_length_mla': uint32(config.number('qk_nope_head_dim') + ropeDim), 'attention.value_length_mla': uint32(config.number('v_head_dim')),
    leading_dense_block_count: uint32(config.number('first_k_dense_replace', 0)), expert_count: uint32(experts(config)), expert_used_count: uint32(config.number('num_experts_per_tok')),
    expert_shared_count: uint32(config.number('n_shared_experts', 0)), expert_feed_forward_length: uint32(config.number('moe_intermediate_size')),
    expert_weights_scale: float32(config.number('routed_scaling_factor', 1)), expert_weights_norm: config.flag('norm_topk_prob', !v2),
    expert_gating_func: uint32(score === 'sigmoid' ? SIGMOID : SOFTMAX),
    ...(config.raw.topk_method === 'greedy' || v2 ? {} : { expert_group_count: uint32(config.number('n_group', 1)), expert_group_used_count: uint32(config.number('topk_group', 1)) }),
    ...where('rope.scaling.yarn_log_multiplier', mscaleAll === undefined ? undefined : float32(0.1 * mscaleAll)),
  };
}

const gpt2: Architecture = {
  name: 'gpt2', modelTypes: ['gpt2'],
  config: (facts) => ({
    model_type: 'gpt2', architectures: ['GPT2LMHeadModel'], n_embd: facts.number('embedding_length'), n_layer: facts.number('block_count'), n_head: facts.number('attention.head_count'),
    n_positions: facts.number('context_length'), n_inner: facts.number('feed_forward_length'), layer_norm_epsilon: facts.number('attention.layer_norm_epsilon'),
    activation_function: 'gelu_new', tie_word_embeddings: !facts.hasTensor('output.weight'),
  }),
  metadata: (config) => ({
    block_count: uint32(config.number('n_layer')), context_length: uint32(config.number('n_positions')), embedding_length: uint32(config.number('n_embd')),
    feed_forward_length: uint32(config.number('n_inner', 4 * config.number('n_embd'))), 'attention.head_count': uint32(config.number('n_head')),
    'attention.layer_norm_epsilon': float32(config.number('layer_norm_epsilon', 1e-5)),
  }),
  rules: () => {
    const both = (hub: string, gguf: string, make: (hub: string, gguf: string) => Rule = same) => ['weight', 'bias'].map((kind) => make(`${hub}.${kind}`, `${gguf}.${kind}`));
    return [
      same('wte.weight', 'token_embd.weight'), same('wpe.weight', 'position_embd.weight', { precise: true }), ...both('ln_f', 'output_norm'), same('lm_head.weight', 'output.weight'),
      ...both('h.{N}.ln_1', 'blk.{N}.attn_norm'), ...both('h.{N}.ln_2', 'blk.{N}.ffn_norm'), ...both('h.{N}.attn.c_attn', 'blk.{N}.attn_qkv', swapped),
      ...both('h.{N}.attn.c_proj', 'blk.{N}.attn_output', swapped), ...both('h.{N}.mlp.c_fc', 'blk.{N}.ffn_up', swapped), ...both('h.{N}.mlp.c_proj', 'blk.{N}.ffn_down', swapped),
    ];
  },
};

export const ARCHITECTURES: readonly Architecture[] = [gpt2, llama, olmo2, gemma3, mistral3, llama4, qwen3, qwen3moe, smollm3, deepseek2];
