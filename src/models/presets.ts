// Small models of every architecture for training from scratch: the same width, depth and heads, each
// family's own parts around them, and a feed-forward width chosen so that all have the same number of
// parameters without embeddings. Siblings to compare, not miniatures of a release. Whatever their GGUF
// form cannot say (Llama 4's chunks and every fourth layer without RoPE) is as llama.cpp fixes it.

import { parameters } from '../nn/index.js';
import { buildModel } from './registry.js';

interface Frame { readonly vocab: number; readonly context: number; readonly dim: number; readonly layers: number; readonly heads: number; readonly kvHeads: number; readonly headDim: number }
interface Preset { readonly dim: number; readonly layers: number; readonly heads: number; readonly kvHeads: number; readonly headDim: number; readonly parameters: number }

/** Shapes by name; `parameters` do not count embeddings. */
export const presets = {
  tiny: { dim: 128, layers: 6, heads: 4, kvHeads: 2, headDim: 32, parameters: 1_500_000 },
} as const satisfies Readonly<Record<string, Preset>>;
export type PresetName = keyof typeof presets;

type Json = Record<string, unknown>;

/** Widths are whole blocks of the 4-bit and 8-bit formats, so that every matrix can be quantised. */
const BLOCK = 32;

/** Keys that most families spell alike. */
const common = ({ vocab, context, dim, layers, heads, kvHeads }: Frame, hidden: number): Json => ({
  vocab_size: vocab, hidden_size: dim, intermediate_size: hidden, num_hidden_layers: layers, num_attention_heads: heads, num_key_value_heads: kvHeads,
  max_position_embeddings: context, rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true, attention_bias: false, hidden_act: 'silu',
});

const latent = (f: Frame, hidden: number, moe: Json): Json => ({
  ...common({ ...f, kvHeads: f.heads }, hidden), moe_intermediate_size: f.dim / 2, n_shared_experts: 1, num_experts_per_tok: 2, first_k_dense_replace: 1, moe_layer_freq: 1,
  kv_lora_rank: f.dim / 2, q_lora_rank: f.dim / 4, qk_nope_head_dim: f.headDim, qk_rope_head_dim: f.headDim / 2, v_head_dim: f.headDim, norm_topk_prob: true,
  scoring_func: 'sigmoid', topk_method: 'noaux_tc', ...moe,
});

/** A config per architecture from the frame and a feed-forward width: of its dense layers, or of one expert where it has none. */
const architectures: Readonly<Record<string, (frame: Frame, hidden: number) => Json>> = {
  gpt2: (f, hidden) => ({
    vocab_size: f.vocab, n_embd: f.dim, n_layer: f.layers, n_head: f.heads, n_positions: f.context, n_inner: hidden, layer_norm_epsilon: 1e-5, activation_function: 'gelu_new',
  }),
  llama: (f, hidden) => ({ ...common(f, hidden), mlp_bias: false }),
  olmo2: (f, hidden) => common({ ...f, kvHeads: f.heads }, hidden),
  mistral: (f, hidden) => ({ ...common(f, hidden), head_dim: f.headDim, sliding_window: null }),
  gemma3_text: (f, hidden) => ({
    ...common(f, hidden), head_dim: f.headDim, hidden_activation: 'gelu_pytorch_tanh', rope_local_base_freq: 10000, query_pre_attn_scalar: f.headDim, sliding_window: 64, sliding_window_pattern: 6,
  }),
  llama4_text: (f, hidden) => ({
    ...common(f, f.dim / 2), intermediate_size_mlp: hidden, head_dim: f.headDim, num_experts_per_tok: 1, num_local_experts: 8, interleave_moe_layer_step: 2,
    use_qk_norm: true, no_rope_layer_interval: 4, attention_chunk_size: 8192, attn_temperature_tuning: true, floor_scale: 8192, attn_scale: 0.1, router_aux_loss_coef: 0.001,
  }),
  qwen3: (f, hidden) => ({ ...common(f, hidden), head_dim: f.headDim, use_sliding_window: false }),
  qwen3_moe: (f, hidden) => ({
    ...common(f, hidden * 2), head_dim: f.headDim, use_sliding_window: false, num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: hidden, norm_topk_prob: true,
    decoder_sparse_step: 1, mlp_only_layers: [], router_aux_loss_coef: 0.001,
  }),
  smollm3: (f, hidden) => ({ ...common(f, hidden), mlp_bias: false, no_rope_layer_interval: 4, use_sliding_window: false }),
  deepseek_v3: (f, hidden) => latent(f, hidden, { n_routed_experts: 8, n_group: 4, topk_group: 2, routed_scaling_factor: 2.5 }),
  kimi_k2: (f, hidden) => latent(f, hidden, { n_routed_experts: 8, n_group: 1, topk_group: 1, routed_scaling_factor: 2.827 }),
};

/** What can be trained by name. `gemma3` and `llama4` are their text models. */
export const presetArchitectures: readonly string[] = Object.keys(architectures).map((type) => type.replace(/_text$/, ''));

/** How many numbers a config's model has, embeddings (and a head of its own) left out. */
export function hiddenParameters(config: Json): number {
  return parameters(buildModel(config).decoder).filter(({ path }) => !/^(embed_|lm_head)/.test(path)).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

/**
 * The config of an architecture's preset, whose feed-forward width brings it nearest to the preset's
 * parameters. Throws with the known names for one that there is not.
 */
export function presetConfig(architecture: string, preset: PresetName, { vocab, context }: { vocab: number; context: number }): Json {
  const type = architecture in architectures ? architecture : `${architecture}_text`;
  const make = architectures[type];
  if (!make) throw new RangeError(`unknown architecture '${architecture}'; known are ${presetArchitectures.join(', ')}`);
  const { parameters: target, ...shape } = presets[preset];
  const config = (hidden: number): Json => ({ model_type: type, ...make({ ...shape, vocab, context }, hidden) });
  // Parameters grow with the width in a straight line: two points give the rest.
  const [a, b] = [hiddenParameters(config(BLOCK)), hiddenParameters(config(2 * BLOCK))];
  return config(BLOCK * Math.max(1, 1 + Math.round((target - a) / (b - a))));
}
