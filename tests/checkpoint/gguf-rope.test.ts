// llama3 RoPE scaling there and back: the divisors that llama.cpp stores, and the rule found in them.

import { describe, expect, it } from 'vitest';
import { llama3Divisors, llama3RuleOf } from '../../src/checkpoint/gguf/rope-freqs.js';

const rule = (factor: number, lowFreqFactor: number, highFreqFactor: number, originalContext = 8192) => ({ factor, lowFreqFactor, highFreqFactor, originalContext });

describe('rope_freqs.weight', () => {
  it.each([
    ['Llama 3.1', 64, 5e5, rule(8, 1, 4)],
    ['Llama 3.2 1B', 32, 5e5, rule(32, 1, 4)],
    ['Llama 4 Scout', 64, 5e5, rule(16, 1, 1)],
    ['one pair between the thresholds', 4, 1e4, rule(8, 1, 64, 4096)],
    ['none between them', 4, 5e5, rule(8, 1, 4, 32)],
    ['thresholds of no round number', 64, 1e6, rule(5, 1.37, 3.3, 10000)],
    ['every pair scaled', 8, 100, rule(4, 50, 60, 100)],
  ])('gives back the rule: %s', (name, pairs, theta, given) => {
    const divisors = llama3Divisors(pairs, theta, given);
    const found = llama3RuleOf(divisors, theta, 'x.gguf')!;
    const again = llama3Divisors(pairs, theta, found);
    divisors.forEach((divisor, i) => expect(Math.abs(again[i] - divisor)).toBeLessThan(1e-5 * divisor));
    if (name.startsWith('Llama 3')) expect(found).toEqual(given);
  });

  it('as transformers computes it for Llama 3.2 1B', () => {
    const divisors = llama3Divisors(32, 5e5, rule(32, 1, 4));
    expect(divisors.slice(0, 15)).toEqual(new Float32Array(15).fill(1));
    expect(divisors.slice(18)).toEqual(new Float32Array(14).fill(32));
    // Wavelengths 2955, 4454 and 6711 of the pairs 15 to 17: s = (8192 / w - 1) / 3, divisor = 1 / ((1 - s) / 32 + s).
    const expected = [15, 16, 17].map((i) => {
      const s = (8192 / (2 * Math.PI * 5e5 ** (i / 32)) - 1) / 3;
      return 1 / ((1 - s) / 32 + s);
    });
    expected.forEach((divisor, i) => expect(divisors[15 + i]).toBeCloseTo(divisor, 4));
  });

  it('that only ones is no scaling, and other divisors are refused', () => {
    expect(llama3RuleOf(new Float32Array(8).fill(1), 1e4, 'x.gguf')).toBeUndefined();
    expect(() => llama3RuleOf(Float32Array.of(1, 5, 1, 8), 1e4, 'x.gguf')).toThrow("x.gguf: rope_freqs.weight does not follow Llama 3's rule");
    expect(() => llama3RuleOf(Float32Array.of(1, NaN, 8), 1e4, 'x.gguf')).toThrow(/rule/);
    expect(() => llama3RuleOf(Float32Array.of(1, 0, -3), 1e4, 'x.gguf')).toThrow(/rule/);
  });
});
