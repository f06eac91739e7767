// Pointwise activations and their derivatives: silu, gelu_tanh (GPT-2's "gelu_new"), sigmoid.

import type { Spec } from '../dtype.js';
import { defineOp } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const GELU_A = Math.sqrt(2 / Math.PI);
const GELU_B = 0.044715;

interface Pointwise { value(x: number): number; slope(x: number): number; flops: number }

const functions = {
  sigmoid: { value: logistic, slope: (x) => logistic(x) * (1 - logistic(x)), flops: 4 },
  silu: {
    value: (x) => x * logistic(x),
    slope: (x) => { const s = logistic(x); return s * (1 + x * (1 - s)); },
    flops: 5,
  },
  gelu_tanh: {
    value: (x) => 0.5 * x * (1 + Math.tanh(GELU_A * (x + GELU_B * x ** 3))),
    slope: (x) => {
      const t = Math.tanh(GELU_A * (x + GELU_B * x ** 3));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_A * (1 + 3 * GELU_B * x * x);
    },
    flops: 10,
  },
} satisfies Record<string, Pointwise>;

export type Activation = keyof typeof functions;

for (const [name, f] of Object.entries(functions) as [Activation, Pointwise][]) {
  const same = ([x]: readonly Spec[]): Spec[] => [{ shape: x.shape, dtype: 'f32' }];
  defineOp({
    name,
    infer: same,
    reference([x], [out]) {
      const [from, to] = [x.f32, out.f32];
      for (let i = 0; i < to.length; i++) to[i] = f.value(from[i]);
    },
    saves: { inputs: [0] },
    vjp: (saved, [dy]) => [dy && apply(`${name}_grad`, [saved.input(0), dy])[0]],
    cost: (inputs) => elementwiseCost(inputs, same(inputs), f.flops),
  });
  defineOp({
    name: `${name}_grad`,
    infer: same,
    reference([x, dy], [dx]) {
      const [from, grad, to] = [x.f32, dy.f32, dx.f32];
      for (let i = 0; i < to.length; i++) to[i] = f.slope(from[i]) * grad[i];
    },
    cost: (inputs) => elementwiseCost(inputs, same(inputs), f.flops * 2),
  });
}

export const silu = (x: Tensor): Tensor => apply('silu', [x])[0];
export const geluTanh = (x: Tensor): Tensor => apply('gelu_tanh', [x])[0];
export const sigmoid = (x: Tensor): Tensor => apply('sigmoid', [x])[0];
/** The activation called `kind`. */
export const activate = (kind: Activation, x: Tensor): Tensor => apply(kind, [x])[0];
