// sample: draws each row's next token from its logits, and makes the step block ready for the next
// step: the token takes its place among the step's `tokens`, and its position grows by one.
// Effect: writes its second and third input, which the caller owns.
//
// Drawing is the Gumbel-max trick: the largest of logit / temperature + noise is distributed as the
// softmax (Maddison, Tarlow and Minka, "A* Sampling", 2014, section 2). The noise is a function of
// seed, position and token id alone, so what a sequence gets depends neither on the sequences beside
// it nor on the order of the work. Temperature 0 is greedy: the largest logit, the lowest id among equals.

import { byteLength } from '../dtype.js';
import { defineOp, shapeError } from '../op.js';
import { apply } from '../tensor.js';
import type { Tensor } from '../tensor.js';

/** What `sample` writes where no logit is finite. */
export const NO_TOKEN = -1;

/** Spreads 32 bits over 32 bits (lowbias32, Chris Wellons, "Prospecting for Hash Functions", 2018). */
function scramble(bits: number): number {
  let x = bits >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** -log(-log(u)) of a number u in (0, 1) that belongs to `seed`, `position` and `id`. */
export function gumbelNoise(seed: number, position: number, id: number): number {
  const row = scramble(seed ^ scramble(position));
  const bits = scramble(scramble(row + id) ^ seed);
  // u = 1 - v, so that the rare large values keep their precision.
  const v = (bits + 0.5) / 2 ** 32;
  return -Math.log(-Math.log1p(-v));
}

/** The token that `sample` draws from one row of logits, or NO_TOKEN. */
export function drawToken(logits: Float32Array, temperature: number, seed: number, position: number): number {
  let [best, token] = [-Infinity, NO_TOKEN];
  for (let id = 0; id < logits.length; id++) {
    const score = temperature > 0 ? logits[id] / temperature + gumbelNoise(seed, position, id) : logits[id];
    if (score > best) [best, token] = [score, id];
  }
  return best < Infinity ? token : NO_TOKEN;
}

defineOp({
  name: 'sample',
  effect: true,
  infer(inputs) {
    const [logits, ...perRow] = inputs;
    const fits = logits.shape.length === 2 && logits.dtype === 'f32' && perRow.length === 5
      && perRow.every(({ shape, dtype }, i) => shape.length === 1 && shape[0] === logits.shape[0] && dtype === (i === 3 ? 'f32' : 'i32'));
    if (!fits) shapeError('sample', inputs, 'expected logits [R, V] and tokens, positions, slots, temperatures (f32) and seeds [R]');
    return [];
  },
  reference([logits, tokens, positions, slots, temperatures, seeds]) {
    const [R, V] = logits.spec.shape;
    for (let r = 0; r < R; r++) {
      if (slots.i32[r] < 0) continue;
      tokens.i32[r] = drawToken(logits.f32.subarray(r * V, (r + 1) * V), temperatures.f32[r], seeds.i32[r], positions.i32[r]);
      positions.i32[r]++;
    }
  },
  cost: ([logits]) => ({ flops: 2 * logits.shape[0] * logits.shape[1], bytesRead: byteLength(logits), bytesWritten: 8 * logits.shape[0] }),
});

/** Rows whose slot is -1 (padding, or a sequence that has ended) stay as they are. */
export function sample(logits: Tensor, { tokens, positions, slots, temperatures, seeds }: Readonly<Record<'tokens' | 'positions' | 'slots' | 'temperatures' | 'seeds', Tensor>>): void {
  apply('sample', [logits, tokens, positions, slots, temperatures, seeds]);
}
