// The llama3 rule of RoPE scaling and the tensor `rope_freqs.weight` that llama.cpp keeps in its place:
// by how much each rotated pair's frequency is divided. Writing a file evaluates the rule; reading one
// finds the rule's parameters again, since the hub's config has no room for divisors.
//
// The rule (Llama 3.1): pairs of short wavelength keep their frequency, those of long wavelength are
// divided by `factor`, and between the two thresholds 1 / divisor is linear in 1 / wavelength. Only the
// ratios low / original and high / original count, so `original` is taken to be Llama's own.

import { CheckpointError } from '../error.js';
import { shortest } from './facts.js';

export interface Llama3Rule {
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  readonly originalContext: number;
}

const ORIGINAL_CONTEXT = 8192;

const wavelengths = (pairs: number, theta: number): number[] =>
  Array.from({ length: pairs }, (_, i) => 2 * Math.PI * theta ** (i / pairs));

/** The divisor of each of `pairs` frequencies. */
export function llama3Divisors(pairs: number, theta: number, { factor, lowFreqFactor, highFreqFactor, originalContext }: Llama3Rule): Float32Array {
  return Float32Array.from(wavelengths(pairs, theta), (wavelength) => {
    if (wavelength < originalContext / highFreqFactor) return 1;
    if (wavelength > originalContext / lowFreqFactor) return factor;
    const blend = (originalContext / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
    return 1 / ((1 - blend) / factor + blend);
  });
}

/** The rule that gives these divisors; undefined where all are 1. Throws when no such rule does. */
export function llama3RuleOf(divisors: Float32Array, theta: number, file: string): Llama3Rule | undefined {
  const factor = divisors.at(-1) ?? 1;
  if (divisors.every((divisor) => Math.abs(divisor - 1) < 1e-6)) return undefined;
  const waves = wavelengths(divisors.length, theta);
  const [low, high] = thresholds(divisors, waves, factor);
  const tidy = (inverse: number): number => {
    const value = inverse * ORIGINAL_CONTEXT;
    const round = Math.round(value * 1000) / 1000;
    return Math.abs(round - value) < 1e-5 * value ? round : value;
  };
  const rule = { factor: shortest(factor), lowFreqFactor: tidy(low), highFreqFactor: tidy(high), originalContext: ORIGINAL_CONTEXT };
  const again = llama3Divisors(divisors.length, theta, rule);
  if (again.some((divisor, i) => !(Math.abs(divisor - divisors[i]) < 1e-3 * divisors[i]))) {
    throw new CheckpointError(`${file}: rope_freqs.weight does not follow Llama 3's rule, the only one that is supported`);
  }
  return rule;
}

/** The inverse wavelengths at which blending ends and begins: low / original and high / original. */
function thresholds(divisors: Float32Array, waves: readonly number[], factor: number): [low: number, high: number] {
  const blends = Array.from(divisors, (divisor) => (1 / divisor - 1 / factor) / (1 - 1 / factor));
  const between = blends.flatMap((blend, i) => (blend > 1e-5 && blend < 1 - 1e-5 ? [i] : []));
  const firstScaled = blends.findIndex((blend) => blend < 1 - 1e-5);
  const kept = firstScaled > 0 ? 1 / waves[firstScaled - 1] : 2 / waves[0];
  const [first, last] = [between[0], between.at(-1)!];
  // Nothing between: any threshold there will do, the same for both.
  if (first === undefined) {
    const at = Math.sqrt(kept / waves[firstScaled]);
    return [at, at];
  }
  const [x, blend] = [1 / waves[first], blends[first]];
  if (last > first) {
    const slope = (blend - blends[last]) / (x - 1 / waves[last]);
    return [x - blend / slope, x + (1 - blend) / slope];
  }
  // One pair between: a line through it that is steep enough to spare its neighbours.
  const scaled = first + 1 < waves.length ? 1 / waves[first + 1] : 0;
  const slope = 2 * Math.max((1 - blend) / (kept - x), blend / (x - scaled));
  return [x - blend / slope, x + (1 - blend) / slope];
}
