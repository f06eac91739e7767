// The layers that families share: linear, norms, feed-forward, experts, heads.

import {
  activate, combine, expertLinear, layerNorm as layerNormOp, linear as linearOp, mul, reshape, rmsNorm as rmsNormOp, takeRows,
} from '../tensor/index.js';
import type { Activation, Tensor } from '../tensor/index.js';
import { module, param } from './module.js';

export interface LinearOptions {
  bias?: boolean;
  /** The checkpoint stores [in, out] (GPT-2's Conv1D). */
  transposed?: boolean;
  /** Never quantised while loading (a router). */
  precise?: boolean;
}

/** y = x W^T (+ b), W [outputs, inputs]. */
export function linear(inputs: number, outputs: number, { bias = false, transposed = false, precise = false }: LinearOptions = {}) {
  const pieces = transposed ? [{ name: 'weight', shape: [inputs, outputs], transposed: true }] : undefined;
  return module({
    weight: param([outputs, inputs], { pieces, precise }),
    bias: bias ? param([outputs], { init: { constant: 0 } }) : null,
  }, (m, x: Tensor): Tensor => linearOp(x, m.weight.tensor, m.bias?.tensor));
}

/** Rows of a table [count, dim] by index. */
export function embedding(count: number, dim: number) {
  return module({ weight: param([count, dim]) }, (m, indices: Tensor): Tensor => takeRows(m.weight.tensor, indices));
}

/** RMS norm over the last axis. `offset` 1: the checkpoint stores the weight less one (Gemma). */
export function rmsNorm(dim: number, eps: number, { offset = 0 } = {}) {
  return module({ weight: param([dim], { init: { constant: 1 - offset } }) }, (m, x: Tensor): Tensor =>
    rmsNormOp(x, m.weight.tensor, { eps, offset }));
}

export function layerNorm(dim: number, eps: number) {
  return module({
    weight: param([dim], { init: { constant: 1 } }),
    bias: param([dim], { init: { constant: 0 } }),
  }, (m, x: Tensor): Tensor => layerNormOp(x, m.weight.tensor, m.bias.tensor, eps));
}

/** down(act(gate(x)) * up(x)). */
export function gatedMlp(dim: number, hidden: number, activation: Activation = 'silu') {
  return module({
    gate_proj: linear(dim, hidden),
    up_proj: linear(dim, hidden),
    down_proj: linear(hidden, dim),
  }, (m, x: Tensor): Tensor => m.down_proj(mul(activate(activation, m.gate_proj(x)), m.up_proj(x))));
}

/** E checkpoint tensors `<expert>.<part>.weight`, stacked [E, outputs, inputs] at load. */
export function stackedExperts(count: number, part: string, outputs: number, inputs: number) {
  return param([count, outputs, inputs], {
    pieces: Array.from({ length: count }, (_, e) => ({ name: `${e}.${part}.weight`, shape: [outputs, inputs] })),
  });
}

/** Gated experts stored one by one: x [T, D], indices and weights [T, k] -> [T, D]. */
export function experts(count: number, dim: number, hidden: number) {
  return module({
    gate_proj: stackedExperts(count, 'gate_proj', hidden, dim),
    up_proj: stackedExperts(count, 'up_proj', hidden, dim),
    down_proj: stackedExperts(count, 'down_proj', dim, hidden),
  }, (m, x: Tensor, indices: Tensor, weights: Tensor): Tensor => {
    const gate = activate('silu', expertLinear(x, m.gate_proj.tensor, indices));
    const y = expertLinear(mul(gate, expertLinear(x, m.up_proj.tensor, indices)), m.down_proj.tensor, indices);
    return combine(y, weights);
  });
}

/** [T, heads * width] as [T, heads, width]. */
export function splitHeads(x: Tensor, heads: number): Tensor {
  return reshape(x, [x.shape[0], heads, x.shape[1] / heads]);
}

/** [T, heads, width] as [T, heads * width]. */
export function mergeHeads(x: Tensor): Tensor {
  return reshape(x, [x.shape[0], x.shape[1] * x.shape[2]]);
}
