// Every op, registered by being imported, and the functions families call.

export { activate, geluTanh, sigmoid, silu } from './activation.js';
export type { Activation } from './activation.js';
export { add } from './add.js';
export { firstVisible, kvAppend, pagedAttention, PAGE_TOKENS, rowAttention, visibleTokens } from './attention.js';
export type { AttentionAttrs, Mask } from './attention.js';
export { copyInto } from './copy.js';
export { crossEntropy } from './cross_entropy.js';
export { combine, expertLinear } from './expert_linear.js';
export { gather, scatter } from './gather.js';
export { headLinear } from './head_linear.js';
export { layerNorm } from './layer_norm.js';
export { linear, matmul } from './linear.js';
export { mul } from './mul.js';
export { normalizeSum } from './normalize_sum.js';
export { outer } from './outer.js';
export { rmsNorm } from './rms_norm.js';
export { rope } from './rope.js';
export type { RopeAttrs, RopeLayout } from './rope.js';
export { scale } from './scale.js';
export { concat, slice, split } from './slice.js';
export { softmax } from './softmax.js';
export { sumTo } from './sum_to.js';
export { takeRows } from './take_rows.js';
export { temperature } from './temperature.js';
export { topK } from './top_k.js';
import './fused.js';
