// rope: rotary position embedding of x [T, N, H] by positions [T] and frequencies [F].
// The first 2F numbers of each head are rotated, the rest pass. Layout `half` pairs (i, i + F),
// `interleaved` pairs (2i, 2i + 1). cos and sin are multiplied by `amplitude` (YaRN).
// Angles are rounded to float32 as the references do: at long positions that is visible.

import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

export type RopeLayout = 'half' | 'interleaved';
export interface RopeAttrs { layout: RopeLayout; amplitude: number; inverse?: boolean }

defineOp<RopeAttrs>({
  name: 'rope',
  infer(inputs) {
    const [x, positions, frequencies] = inputs;
    if (x.shape.length !== 3 || positions.shape[0] !== x.shape[0] || frequencies.shape[0] * 2 > x.shape[2]) {
      shapeError('rope', inputs, 'expected x [T, N, H], positions [T], frequencies [at most H / 2]');
    }
    return [{ shape: x.shape, dtype: 'f32' }];
  },
  reference([x, positions, frequencies], [out], { layout, amplitude, inverse }) {
    const [T, N, H] = x.spec.shape;
    const [from, to, at, freq] = [x.f32, out.f32, positions.i32, frequencies.f32];
    const F = freq.length;
    const [step, gap] = layout === 'half' ? [1, F] : [2, 1];
    to.set(from);
    for (let t = 0; t < T; t++) {
      for (let f = 0; f < F; f++) {
        const angle = Math.fround(at[t] * freq[f]);
        const cos = Math.fround(Math.cos(angle)) * amplitude;
        const sin = Math.fround(Math.sin(angle)) * amplitude * (inverse ? -1 : 1);
        for (let n = 0; n < N; n++) {
          const i = (t * N + n) * H + f * step;
          const [a, b] = [from[i], from[i + gap]];
          to[i] = a * cos - b * sin;
          to[i + gap] = b * cos + a * sin;
        }
      }
    }
  },
  saves: { inputs: [1, 2] },
  vjp: (saved, [dy], attrs) => [dy && rope(dy, saved.input(1), saved.input(2), { ...attrs, inverse: !attrs.inverse }), null, null],
  cost: (inputs) => elementwiseCost(inputs, [{ shape: inputs[0].shape, dtype: 'f32' }], 3),
});

export function rope(x: Tensor, positions: Tensor, frequencies: Tensor, attrs: RopeAttrs): Tensor {
  return apply('rope', [x, positions, frequencies], { ...attrs })[0];
}
