// The two pieces that Llama made common and that several families use unchanged: grouped-query
// attention and the pre-norm block. A family that differs in anything writes its own.

import { add } from '../tensor/index.js';
import type { Mask, Tensor } from '../tensor/index.js';
import { attention, headRows, kvCache, scoredBy } from './kv.js';
import type { Step } from './kv.js';
import { linear, mergeHeads, rmsNorm, splitHeads } from './layers.js';
import { module } from './module.js';
import type { Module } from './module.js';
import { rotary } from './rope.js';
import type { RopeConfig } from './rope.js';

export interface GroupedQueryConfig {
  dim: number;
  heads: number;
  kvHeads: number;
  headDim: number;
  /** Biases on all four projections. */
  attentionBias?: boolean;
  /** Half-split RoPE; null: no positions (NoPE). */
  rope: RopeConfig | null;
  mask?: Mask;
}

/** softmax(q k^T / sqrt(H)) v with each key/value head shared by heads / kvHeads query heads. */
export function groupedQueryAttention({ dim, heads, kvHeads, headDim, attentionBias: bias = false, rope, mask = {} }: GroupedQueryConfig) {
  return scoredBy(module({
    q_proj: linear(dim, heads * headDim, { bias }),
    k_proj: linear(dim, kvHeads * headDim, { bias }),
    v_proj: linear(dim, kvHeads * headDim, { bias }),
    o_proj: linear(heads * headDim, dim, { bias }),
    rotary: rope && rotary(headDim, rope, 'half'),
    kv: kvCache([kvHeads, headDim], [kvHeads, headDim], mask),
  }, (m, x_TD: Tensor, step: Step): Tensor => {
    const place = (x: Tensor) => (m.rotary ? m.rotary(x, step) : x);
    const q_TNH = place(splitHeads(m.q_proj(x_TD), heads));
    const k_TKH = place(splitHeads(m.k_proj(x_TD), kvHeads));
    const past = step.append(m.kv, { k: k_TKH, v: splitHeads(m.v_proj(x_TD), kvHeads) });
    return m.o_proj(mergeHeads(attention(q_TNH, past, { scale: headDim ** -0.5 })));
  }), (m) => [headRows(m.q_proj, heads, headDim), headRows(m.k_proj, kvHeads, headDim)]);
}

type Attention = ((x: Tensor, step: Step) => Tensor) & Module;
type FeedForward = ((x: Tensor) => Tensor) & Module;

/** x + attention(norm(x)), then x + mlp(norm(x)), under Llama's part names. */
export function preNormBlock<A extends Attention, F extends FeedForward>(dim: number, eps: number, self_attn: A, mlp: F) {
  return module({
    input_layernorm: rmsNorm(dim, eps),
    self_attn,
    post_attention_layernorm: rmsNorm(dim, eps),
    mlp,
  }, (m, x_TD: Tensor, step: Step): Tensor => {
    const h_TD = add(x_TD, m.self_attn(m.input_layernorm(x_TD), step));
    return add(h_TD, m.mlp(m.post_attention_layernorm(h_TD)));
  });
}
