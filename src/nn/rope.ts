// Rotary position embedding as a part: frequencies from the config's theta and scaling rule.
// Sources: transformers modeling_rope_utils (linear, llama3, yarn), DeepSeek inference/model.py.

import { rope } from '../tensor/index.js';
import type { RopeLayout, Tensor } from '../tensor/index.js';
import type { Step } from './kv.js';
import { Constant, module } from './module.js';

export type RopeScaling =
  | { readonly type: 'none' }
  | { readonly type: 'linear'; readonly factor: number }
  | { readonly type: 'llama3'; readonly factor: number; readonly lowFreqFactor: number; readonly highFreqFactor: number; readonly originalContext: number }
  | {
    readonly type: 'yarn'; readonly factor: number; readonly originalContext: number; readonly betaFast: number; readonly betaSlow: number;
    readonly mscale?: number; readonly mscaleAllDim?: number; readonly attentionFactor?: number;
  };

export interface RopeConfig { readonly theta: number; readonly scaling: RopeScaling }

/** YaRN's magnitude correction: 1 below its trained context, else 0.1 m ln(factor) + 1. */
export function yarnMscale(factor: number, m: number): number {
  return factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1;
}

/** What cos and sin are multiplied by. */
export function ropeAmplitude(scaling: RopeScaling): number {
  if (scaling.type !== 'yarn') return 1;
  const { factor, mscale, mscaleAllDim, attentionFactor } = scaling;
  if (attentionFactor !== undefined) return attentionFactor;
  return mscale && mscaleAllDim ? yarnMscale(factor, mscale) / yarnMscale(factor, mscaleAllDim) : yarnMscale(factor, 1);
}

/** Angular frequency of each of the `dim / 2` rotated pairs, as float32. */
export function ropeFrequencies(dim: number, { theta, scaling }: RopeConfig): Float32Array {
  const plain = Float32Array.from({ length: dim / 2 }, (_, i) => theta ** ((-2 * i) / dim));
  switch (scaling.type) {
    case 'none': return plain;
    case 'linear': return plain.map((f) => f / scaling.factor);
    case 'llama3': return plain.map((f) => llama3(f, scaling));
    case 'yarn': {
      const [low, high] = yarnRange(dim, theta, scaling);
      return plain.map((f, i) => {
        const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
        return (f / scaling.factor) * ramp + f * (1 - ramp);
      });
    }
    default: return scaling satisfies never;
  }
}

function llama3(f: number, s: Extract<RopeScaling, { type: 'llama3' }>): number {
  const wavelength = (2 * Math.PI) / f;
  if (wavelength < s.originalContext / s.highFreqFactor) return f;
  if (wavelength > s.originalContext / s.lowFreqFactor) return f / s.factor;
  const blend = (s.originalContext / wavelength - s.lowFreqFactor) / (s.highFreqFactor - s.lowFreqFactor);
  return ((1 - blend) * f) / s.factor + blend * f;
}

/** The pairs between which YaRN blends from unscaled to scaled. */
function yarnRange(dim: number, theta: number, s: Extract<RopeScaling, { type: 'yarn' }>): [number, number] {
  const pairOf = (rotations: number) => (dim * Math.log(s.originalContext / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
  const low = Math.max(Math.floor(pairOf(s.betaFast)), 0);
  const high = Math.min(Math.ceil(pairOf(s.betaSlow)), dim - 1);
  return [low, high === low ? high + 0.001 : high];
}

/** Rotates the first `dim` numbers of every head of x [T, N, H] by the step's positions. */
export function rotary(dim: number, config: RopeConfig, layout: RopeLayout) {
  const amplitude = ropeAmplitude(config.scaling);
  return module({ frequencies: new Constant(ropeFrequencies(dim, config)) }, (m, x: Tensor, step: Step): Tensor =>
    rope(x, step.positions, m.frequencies.tensor, { layout, amplitude }));
}
