// Fused products that only recorded plans contain (see fused.ts): a matrix product with what comes right
// before it (an RMS norm) or behind it (an addition), and a token's experts with what joins them.

import { elementCount } from '../dtype.js';
import type { Spec } from '../dtype.js';
import { defineOp, getOp } from '../op.js';
import type { Tensor } from '../tensor.js';
import { View } from '../view.js';
import { silu } from './activation.js';
import { add } from './add.js';
import { bytesOf } from './cost.js';
import { combine, expertLinear } from './expert_linear.js';
import { linear } from './linear.js';
import { mul } from './mul.js';
import { rmsNorm } from './rms_norm.js';
import type { RmsNormAttrs } from './rms_norm.js';

const empty = (shape: readonly number[]): View => new View({ shape, dtype: 'f32' }, new Uint8Array(4 * elementCount(shape)));

// linear_add: x W^T + more.
defineOp({
  name: 'linear_add',
  infer: ([, , more]) => [{ shape: more.shape, dtype: 'f32' }],
  reference([x, w, more], [out]) {
    getOp('linear').reference([x, w], [out], {});
    more.f32.forEach((number, i) => { out.f32[i] += number; });
  },
  compose: ([x, w, more]) => [add(linear(x, w), more)],
  cost: ([x, w, more]) => ({ flops: 2 * elementCount(x.shape) * w.shape[0] + elementCount(more.shape), bytesRead: bytesOf([x, w, more]), bytesWritten: bytesOf([more]) }),
});

/** The products that may take the RMS norm of their x along: its weight is then their second input. */
export const NORMED_PRODUCTS: ReadonlySet<string> = new Set(['linear', 'linear_group', 'linear_gated', 'expert_linear_gated']);

for (const name of NORMED_PRODUCTS) {
  defineOp<RmsNormAttrs>({
    name: `norm_${name}`,
    infer: ([x, , ...rest]) => getOp(name).infer([x, ...rest], {}),
    reference([x, weight, ...rest], outputs, attrs) {
      const normed = empty(x.spec.shape);
      getOp('rms_norm').reference([x, weight], [normed], { ...attrs });
      getOp(name).reference([normed, ...rest], outputs, {});
    },
    compose: ([x, weight, ...rest], attrs) => getOp(name).compose?.([rmsNorm(x, weight, attrs), ...rest], {}) ?? [linear(rmsNorm(x, weight, attrs), rest[0])],
    cost([x, weight, ...rest], _attrs, context) {
      const product = getOp(name).cost([x, ...rest], {}, context);
      return { ...product, flops: product.flops + 4 * elementCount(x.shape), bytesRead: product.bytesRead + bytesOf([weight]) };
    },
  });
}

const choicesOf = (indices: Spec): number => elementCount(indices.shape);
/** Bytes of the matrices that so many choices read at most. */
const chosenBytes = (matrices: readonly Spec[], choices: number): number => (bytesOf(matrices) / matrices[0].shape[0]) * Math.min(choices, matrices[0].shape[0]);

// expert_linear_gated: silu(gate) * up of each choice, x [T, I] or [T, k, I], Wg and Wu [E, O, I], indices [T, k].
defineOp({
  name: 'expert_linear_gated',
  infer: ([, gate, , indices]) => [{ shape: [...indices.shape, gate.shape[1]], dtype: 'f32' }],
  reference([x, gate, up, indices], [out]) {
    const ups = empty(out.spec.shape);
    getOp('expert_linear').reference([x, gate, indices], [out], {});
    getOp('expert_linear').reference([x, up, indices], [ups], {});
    out.f32.forEach((number, i) => { out.f32[i] = (number / (1 + Math.exp(-number))) * ups.f32[i]; });
  },
  compose: ([x, gate, up, indices]) => [mul(silu(expertLinear(x, gate, indices)), expertLinear(x, up, indices))],
  cost: ([x, gate, up, indices]) => ({
    flops: 4 * choicesOf(indices) * gate.shape[1] * gate.shape[2], bytesRead: bytesOf([x, indices]) + chosenBytes([gate, up], choicesOf(indices)), bytesWritten: 4 * choicesOf(indices) * gate.shape[1],
  }),
});

// expert_combine: the sum over a token's choices, weighted, of x [T, k, I] through W [E, O, I]; a fifth input is added.
defineOp({
  name: 'expert_combine',
  infer: ([x, w]) => [{ shape: [x.shape[0], w.shape[1]], dtype: 'f32' }],
  reference([x, w, indices, weights, more], [out]) {
    const each = empty([...indices.spec.shape, w.spec.shape[1]]);
    getOp('expert_linear').reference([x, w, indices], [each], {});
    getOp('combine').reference([each, weights], [out], {});
    more?.f32.forEach((number, i) => { out.f32[i] += number; });
  },
  compose([x, w, indices, weights, more]: readonly (Tensor | undefined)[]) {
    const sum = combine(expertLinear(x!, w!, indices!), weights!);
    return [more ? add(sum, more) : sum];
  },
  cost: ([x, w, indices, weights]) => ({
    flops: 2 * choicesOf(indices) * w.shape[1] * w.shape[2], bytesRead: bytesOf([x, indices, weights]) + chosenBytes([w], choicesOf(indices)), bytesWritten: 4 * x.shape[0] * w.shape[1],
  }),
});
