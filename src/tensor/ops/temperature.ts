// temperature: x [T, N, H] times ln(floor((position + 1) / floorScale) + 1) * strength + 1.
// Llama 4's attention temperature on layers without positions (facts: HF llama4, META model.py).

import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { elementwiseCost } from './cost.js';

export interface TemperatureAttrs { floorScale: number; strength: number }

defineOp<TemperatureAttrs>({
  name: 'temperature',
  infer(inputs) {
    const [x, positions] = inputs;
    if (positions.shape[0] !== x.shape[0]) shapeError('temperature', inputs, 'one position per token');
    return [{ shape: x.shape, dtype: 'f32' }];
  },
  reference([x, positions], [out], { floorScale, strength }) {
    const [from, to, at] = [x.f32, out.f32, positions.i32];
    const perToken = from.length / at.length;
    for (let i = 0; i < from.length; i++) {
      const position = at[Math.floor(i / perToken)];
      to[i] = from[i] * (Math.log(Math.floor((position + 1) / floorScale) + 1) * strength + 1);
    }
  },
  saves: { inputs: [1] },
  vjp: (saved, [dy], attrs) => [dy && temperature(dy, saved.input(1), attrs), null],
  cost: (inputs) => elementwiseCost(inputs, [{ shape: inputs[0].shape, dtype: 'f32' }], 1),
});

export function temperature(x: Tensor, positions: Tensor, attrs: TemperatureAttrs): Tensor {
  return apply('temperature', [x, positions], { ...attrs })[0];
}
