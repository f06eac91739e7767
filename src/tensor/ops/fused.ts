// Fused ops that only plans, and layers on backends that ask for it, contain. Each is defined by its composition of small ops;
// a test holds its own loops to that. No family calls them.

import { elementCount } from '../dtype.js';
import { defineOp, getOp } from '../op.js';
import { View } from '../view.js';
import { silu } from './activation.js';
import { add } from './add.js';
import { bytesOf, elementwiseCost } from './cost.js';
import { linear } from './linear.js';
import { mul } from './mul.js';
import { normalizeSum } from './normalize_sum.js';
import { rmsNorm } from './rms_norm.js';
import type { RmsNormAttrs } from './rms_norm.js';
import { rope } from './rope.js';
import type { RopeAttrs } from './rope.js';
import { softmax } from './softmax.js';
import { topK } from './top_k.js';
import type { TopKAttrs } from './top_k.js';

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

// linear_silu_mul: silu(x Wg^T) * up, the gate of a gated feed-forward. x [..., I], Wg [O, I], up [..., O].
defineOp({
  name: 'linear_silu_mul',
  infer: ([, , up]) => [{ shape: up.shape, dtype: 'f32' }],
  reference([x, w, up], [out]) {
    const [rows, columns] = w.spec.shape;
    const [from, u, to] = [x.f32, up.f32, out.f32];
    const scratch = new Float32Array(columns);
    for (let r = 0; r < rows; r++) {
      const row = w.row(r, scratch);
      for (let t = 0; t < x.rowCount; t++) {
        let gate = 0;
        for (let i = 0; i < columns; i++) gate += from[t * columns + i] * row[i];
        to[t * rows + r] = (gate / (1 + Math.exp(-gate))) * u[t * rows + r];
      }
    }
  },
  compose: ([x, w, up]) => [mul(silu(linear(x, w)), up)],
  cost: ([x, w, up]) => ({ flops: 2 * elementCount(x.shape) * w.shape[0] + 6 * elementCount(up.shape), bytesRead: bytesOf([x, w, up]), bytesWritten: bytesOf([up]) }),
});

// rms_norm_rope: the norm of every head of x [T, N, H] by w [H], then its rotation (see rope).
defineOp<RmsNormAttrs & RopeAttrs>({
  name: 'rms_norm_rope',
  infer: ([x]) => [{ shape: x.shape, dtype: 'f32' }],
  reference([x, w, positions, frequencies], [out], { eps, offset, layout, amplitude, inverse }) {
    const [T, N, H] = x.spec.shape;
    const [from, to, at, freq] = [x.f32, out.f32, positions.i32, frequencies.f32];
    const weight = w.toFloat32();
    const [step, gap] = layout === 'half' ? [1, freq.length] : [2, 1];
    for (let head = 0; head < T * N; head++) {
      const base = head * H;
      let squares = 0;
      for (let i = 0; i < H; i++) squares += from[base + i] ** 2;
      const norm = 1 / Math.sqrt(squares / H + eps);
      for (let i = 0; i < H; i++) to[base + i] = from[base + i] * norm * (weight[i] + offset);
      freq.forEach((f, n) => {
        const angle = Math.fround(at[Math.floor(head / N)] * f);
        const [cos, sin] = [Math.cos(angle) * amplitude, Math.sin(angle) * amplitude * (inverse ? -1 : 1)];
        const i = base + n * step;
        const [a, b] = [to[i], to[i + gap]];
        to[i] = a * cos - b * sin;
        to[i + gap] = b * cos + a * sin;
      });
    }
  },
  compose: ([x, w, positions, frequencies], { eps, offset, ...rotation }) => [rope(rmsNorm(x, w, { eps, offset }), positions, frequencies, rotation)],
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 6),
});

// linear_group: three products with the same x.
defineOp({
  name: 'linear_group',
  infer: ([x, ...matrices]) => matrices.map((w) => ({ shape: [...x.shape.slice(0, -1), w.shape[0]], dtype: 'f32' as const })),
  reference([x, ...matrices], outputs) {
    matrices.forEach((w, i) => getOp('linear').reference([x, w], [outputs[i]], {}));
  },
  compose: ([x, ...matrices]) => matrices.map((w) => linear(x, w)),
  cost: ([x, ...matrices]) => ({
    flops: 2 * elementCount(x.shape) * matrices.reduce((sum, w) => sum + w.shape[0], 0), bytesRead: bytesOf([x, ...matrices]),
    bytesWritten: (4 * elementCount(x.shape) * matrices.reduce((sum, w) => sum + w.shape[0], 0)) / (x.shape.at(-1) ?? 1),
  }),
});

// linear_gated: silu(x Wg^T) * (x Wu^T).
defineOp({
  name: 'linear_gated',
  infer: ([x, gate]) => [{ shape: [...x.shape.slice(0, -1), gate.shape[0]], dtype: 'f32' }],
  reference([x, gate, up], [out]) {
    const ups = new View(out.spec, new Uint8Array(out.bytes.byteLength));
    getOp('linear').reference([x, up], [ups], {});
    getOp('linear_silu_mul').reference([x, gate, ups], [out], {});
  },
  compose: ([x, gate, up]) => [mul(silu(linear(x, gate)), linear(x, up))],
  cost: ([x, gate, up]) => ({
    flops: 4 * elementCount(x.shape) * gate.shape[0], bytesRead: bytesOf([x, gate, up]), bytesWritten: (4 * elementCount(x.shape) * gate.shape[0]) / (x.shape.at(-1) ?? 1),
  }),
});

// rms_norm_rope_pair: rms_norm_rope of two tensors of heads (queries and keys), each with its own norm.
defineOp<RmsNormAttrs & RopeAttrs>({
  name: 'rms_norm_rope_pair',
  infer: ([a, b]) => [{ shape: a.shape, dtype: 'f32' }, { shape: b.shape, dtype: 'f32' }],
  reference([a, b, aWeight, bWeight, ...place], [aOut, bOut], attrs) {
    getOp('rms_norm_rope').reference([a, aWeight, ...place], [aOut], { ...attrs });
    getOp('rms_norm_rope').reference([b, bWeight, ...place], [bOut], { ...attrs });
  },
  compose: ([a, b, aWeight, bWeight, positions, frequencies], { eps, offset, ...rotation }) =>
    ([[a, aWeight], [b, bWeight]] as const).map(([x, w]) => rope(rmsNorm(x, w, { eps, offset }), positions, frequencies, rotation)),
  cost: (inputs) => elementwiseCost(inputs, inputs.slice(0, 2), 6),
});

// softmax_top_k: top_k of the softmax of each row; with `normalize`, its values over their sum and epsilon.
defineOp<TopKAttrs & { normalize: boolean; epsilon: number }>({
  name: 'softmax_top_k',
  infer: (inputs, attrs) => getOp('top_k').infer(inputs, { ...attrs }),
  reference([x], [values, indices], attrs) {
    const scores = new View(x.spec, new Uint8Array(x.bytes.byteLength));
    getOp('softmax').reference([x], [scores], {});
    getOp('top_k').reference([scores], [values, indices], { ...attrs });
    if (attrs.normalize) getOp('normalize_sum').reference([values], [values], { epsilon: attrs.epsilon });
  },
  compose([x], { normalize, epsilon, ...attrs }) {
    const { values, indices } = topK(softmax(x), attrs);
    return [normalize ? normalizeSum(values, epsilon) : values, indices];
  },
  cost: (inputs, { k }) => ({ flops: 6 * elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: 8 * inputs[0].shape[0] * k }),
});
