// Fused ops that only recorded plans contain. Each is defined by its composition of small ops;
// a test holds its own loops to that. No family calls them.

import { defineOp } from '../op.js';
import { silu } from './activation.js';
import { add } from './add.js';
import { elementwiseCost } from './cost.js';
import { mul } from './mul.js';
import { rmsNorm } from './rms_norm.js';
import type { RmsNormAttrs } from './rms_norm.js';

// add_rms_norm: s = a + b; outputs s and rms_norm(s, w).
defineOp<RmsNormAttrs>({
  name: 'add_rms_norm',
  infer: ([a]) => [{ shape: a.shape, dtype: 'f32' }, { shape: a.shape, dtype: 'f32' }],
  reference([a, b, w], [sum, out], { eps, offset }) {
    const [n, x, y, s, to] = [a.rowLength, a.f32, b.f32, sum.f32, out.f32];
    const weight = w.toFloat32();
    for (let r = 0; r < a.rowCount; r++) {
      let squares = 0;
      for (let i = r * n; i < (r + 1) * n; i++) squares += (s[i] = x[i] + y[i]) * s[i];
      const inverse = 1 / Math.sqrt(squares / n + eps);
      for (let i = 0; i < n; i++) to[r * n + i] = s[r * n + i] * inverse * (weight[i] + offset);
    }
  },
  compose([a, b, w], attrs) {
    const sum = add(a, b);
    return [sum, rmsNorm(sum, w, attrs)];
  },
  cost: (inputs) => elementwiseCost(inputs, [inputs[0], inputs[0]], 3),
});

// silu_mul: silu(gate) * up.
defineOp({
  name: 'silu_mul',
  infer: ([gate]) => [{ shape: gate.shape, dtype: 'f32' }],
  reference([gate, up], [out]) {
    const [g, u, to] = [gate.f32, up.f32, out.f32];
    for (let i = 0; i < to.length; i++) to[i] = (g[i] / (1 + Math.exp(-g[i]))) * u[i];
  },
  compose: ([gate, up]) => [mul(silu(gate), up)],
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 6),
});
