// What training does to gradients and parameters beside the ops of models. All of it runs on the
// device: what one step needs of another lies in tensors, so that steps follow each other without a
// number being read back. `clip` [1] is what gradients are multiplied by; below zero it says that the
// step went wrong, and everything stays as it is.

import { elementCount } from '../dtype.js';
import type { Spec } from '../dtype.js';
import { defineOp, sameShape, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';
import { bytesOf, elementwiseCost } from './cost.js';

const allFloat = (inputs: readonly Spec[]): boolean => inputs.every(({ dtype }) => dtype === 'f32');

// sum_squares: the sum of all squared elements of the second input becomes number `at` of the first.
// Effect: writes its first input.
defineOp<{ at: number }>({
  name: 'sum_squares',
  effect: true,
  infer(inputs, { at }) {
    if (inputs.length !== 2 || !allFloat(inputs) || at >= elementCount(inputs[0].shape)) shapeError('sum_squares', inputs, `expected sums with a number ${at}, and a tensor, in f32`);
    return [];
  },
  reference([sums, x], _outputs, { at }) {
    const from = x.f32;
    let sum = 0;
    for (let i = 0; i < from.length; i++) sum += from[i] * from[i];
    sums.f32[at] = sum;
  },
  cost: (inputs) => ({ flops: 2 * elementCount(inputs[1].shape), bytesRead: bytesOf(inputs.slice(1)), bytesWritten: 4 }),
});

// clip_scale: from sums of squares [P] and the loss [1], the factor [1] that brings the norm down to
// `limit`: 1 where it is not above, -1 where the norm or the loss is not finite.
defineOp<{ limit: number }>({
  name: 'clip_scale',
  infer(inputs) {
    if (inputs.length !== 2 || !allFloat(inputs)) shapeError('clip_scale', inputs, 'expected sums of squares and a loss');
    return [{ shape: [1], dtype: 'f32' }];
  },
  reference([squares, loss], [out], { limit }) {
    let sum = 0;
    for (const square of squares.f32) sum += square;
    const norm = Math.sqrt(sum);
    out.f32[0] = Number.isFinite(norm) && Number.isFinite(loss.f32[0]) ? (norm > limit ? limit / norm : 1) : -1;
  },
  cost: (inputs) => ({ flops: elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: 4 }),
});

export interface AdamWAttrs { beta1: number; beta2: number; epsilon: number; weightDecay: number }

// adamw: one update of a parameter and its two moments from a gradient (Loshchilov and Hutter,
// arXiv:1711.05101, with Adam's bias corrections). `rates` [3]: the learning rate, 1 / (1 - beta1^step)
// and 1 / (1 - beta2^step). Effect: writes its first three inputs.
defineOp<AdamWAttrs>({
  name: 'adamw',
  effect: true,
  infer(inputs) {
    const like = inputs.slice(0, 4);
    if (inputs.length !== 6 || !allFloat(inputs) || like.some(({ shape }) => !sameShape(shape, inputs[0].shape))) shapeError('adamw', inputs, 'expected a parameter, two moments and a gradient of one shape, rates [3] and a clip [1] in f32');
    return [];
  },
  reference([p, m, v, g, rates, clip], _outputs, { beta1, beta2, epsilon, weightDecay }) {
    const [weight, first, second, gradient] = [p.f32, m.f32, v.f32, g.f32];
    const [rate, correction1, correction2] = rates.f32;
    const factor = clip.f32[0];
    if (factor < 0) return;
    for (let i = 0; i < weight.length; i++) {
      const slope = gradient[i] * factor;
      first[i] = beta1 * first[i] + (1 - beta1) * slope;
      second[i] = beta2 * second[i] + (1 - beta2) * slope * slope;
      const update = first[i] * correction1 / (Math.sqrt(second[i] * correction2) + epsilon);
      weight[i] = weight[i] * (1 - rate * weightDecay) - rate * update;
    }
  },
  cost: (inputs) => ({ flops: 14 * elementCount(inputs[0].shape), bytesRead: bytesOf(inputs), bytesWritten: bytesOf(inputs.slice(0, 3)) }),
});

export interface MomentumAttrs { momentum: number; nesterov: boolean; at: number }

// momentum: mean = momentum mean + clip gradient, and the direction from it (with Nesterov: gradient +
// momentum mean) into numbers `at` and on of `stack`. Effect: writes its first two inputs.
defineOp<MomentumAttrs>({
  name: 'momentum',
  effect: true,
  infer(inputs, { at }) {
    const [mean, stack, gradient] = inputs;
    const n = elementCount(mean.shape);
    if (inputs.length !== 4 || !allFloat(inputs) || elementCount(gradient.shape) !== n || at + n > elementCount(stack.shape)) shapeError('momentum', inputs, `expected a mean, a stack with room from ${at} on, a gradient and a clip in f32`);
    return [];
  },
  reference([m, s, g, clip], _outputs, { momentum, nesterov, at }) {
    const [mean, stack, gradient] = [m.f32, s.f32, g.f32];
    const factor = clip.f32[0];
    if (factor < 0) return;
    for (let i = 0; i < mean.length; i++) {
      const slope = gradient[i] * factor;
      mean[i] = momentum * mean[i] + slope;
      stack[at + i] = nesterov ? slope + momentum * mean[i] : mean[i];
    }
  },
  cost: (inputs) => elementwiseCost([inputs[0], inputs[2]], [inputs[0], inputs[0]], 4),
});

export interface DirectionAttrs { at: number; size: number; weightDecay: number }

// step_along: parameter = (1 - rate decay) parameter - rate size direction, the direction being numbers
// `at` and on of a stack, `rates` [1]. Effect: writes its first input.
defineOp<DirectionAttrs>({
  name: 'step_along',
  effect: true,
  infer(inputs, { at }) {
    const [weight, stack] = inputs;
    if (inputs.length !== 4 || !allFloat(inputs) || at + elementCount(weight.shape) > elementCount(stack.shape)) shapeError('step_along', inputs, `expected a parameter, a stack that holds it from ${at} on, rates and a clip in f32`);
    return [];
  },
  reference([w, s, rates, clip], _outputs, { at, size, weightDecay }) {
    const [weight, stack] = [w.f32, s.f32];
    const [rate] = rates.f32;
    if (clip.f32[0] < 0) return;
    for (let i = 0; i < weight.length; i++) weight[i] = weight[i] * (1 - rate * weightDecay) - rate * size * stack[at + i];
  },
  cost: (inputs) => elementwiseCost([inputs[0], inputs[0]], [inputs[0]], 4),
});

export interface HeadClipAttrs { heads: number; block: number; start: number; rows: number; base: number; power: number; groups: number; limit: number }

// clip_heads (QK-Clip, arXiv:2507.20534, algorithm 1): rows [base + h block + start, + rows) of a weight
// belong to head h of `heads`; where the largest score [N] of the head's group (one of `groups`) is
// above the limit, they are multiplied by (limit / largest)^power. Effect: writes its first input.
defineOp<HeadClipAttrs>({
  name: 'clip_heads',
  effect: true,
  infer(inputs, { heads, block, base }) {
    if (inputs.length !== 3 || !allFloat(inputs) || base + heads * block > inputs[0].shape[0]) shapeError('clip_heads', inputs, `expected a weight with ${heads} heads of ${block} rows from ${base} on, scores and a clip in f32`);
    return [];
  },
  reference([w, largest, clip], _outputs, { heads, block, start, rows, base, power, groups, limit }) {
    if (clip.f32[0] < 0) return;
    const [weight, scores] = [w.f32, largest.f32];
    const width = weight.length / w.spec.shape[0];
    const size = scores.length / groups;
    for (let head = 0; head < heads; head++) {
      const group = Math.floor((head * groups) / heads);
      const top = Math.max(...scores.subarray(group * size, (group + 1) * size));
      if (top <= limit) continue;
      const from = (base + head * block + start) * width;
      for (let i = from; i < from + rows * width; i++) weight[i] *= (limit / top) ** power;
    }
  },
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 1),
});

// move_bias (arXiv:2408.15664, algorithm 1): rises by `rate` where fewer than the mean of `loads` [E]
// chose an expert, and falls where more did. Effect: writes its first input.
defineOp<{ rate: number }>({
  name: 'move_bias',
  effect: true,
  infer(inputs) {
    if (inputs.length !== 3 || !allFloat(inputs) || !sameShape(inputs[0].shape, inputs[1].shape)) shapeError('move_bias', inputs, 'expected a bias and loads of one shape, and a clip, in f32');
    return [];
  },
  reference([b, l, clip], _outputs, { rate }) {
    if (clip.f32[0] < 0) return;
    const [bias, loads] = [b.f32, l.f32];
    const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
    for (let i = 0; i < bias.length; i++) bias[i] += rate * Math.sign(mean - loads[i]);
  },
  cost: (inputs) => elementwiseCost(inputs, [inputs[0]], 3),
});

/** The sum of all squared elements of x becomes number `at` of `sums`. */
export function sumSquares(sums: Tensor, x: Tensor, at: number): void {
  apply('sum_squares', [sums, x], { at });
}

/** What gradients with these sums of squares are to be multiplied by, [1]; -1: they are not finite, or the loss is not. */
export function clipScale(sums: Tensor, loss: Tensor, limit: number): Tensor {
  return apply('clip_scale', [sums, loss], { limit })[0];
}

/** Updates a parameter and its moments where they lie. */
export function adamwUpdate(parameter: Tensor, moments: readonly [Tensor, Tensor], gradient: Tensor, rates: Tensor, clip: Tensor, attrs: AdamWAttrs): void {
  apply('adamw', [parameter, ...moments, gradient, rates, clip], { ...attrs });
}

/** Updates a mean of gradients, and writes the direction from it into a stack. */
export function momentum(mean: Tensor, stack: Tensor, gradient: Tensor, clip: Tensor, attrs: MomentumAttrs): void {
  apply('momentum', [mean, stack, gradient, clip], { ...attrs });
}

/** Moves a parameter along a direction in a stack. */
export function stepAlong(parameter: Tensor, stack: Tensor, rates: Tensor, clip: Tensor, attrs: DirectionAttrs): void {
  apply('step_along', [parameter, stack, rates, clip], { ...attrs });
}

/** Shrinks the rows of heads whose largest score was above the limit. */
export function clipHeads(weight: Tensor, largest: Tensor, clip: Tensor, attrs: HeadClipAttrs): void {
  apply('clip_heads', [weight, largest, clip], { ...attrs });
}

/** Moves a routing bias against the loads. */
export function moveBias(bias: Tensor, loads: Tensor, clip: Tensor, rate: number): void {
  apply('move_bias', [bias, loads, clip], { rate });
}
