// The planner: the expectation behind mixtures of experts, the roofline written out by hand, what
// fits, what is refused, and predictions against what this engine was measured to do.

import { describe, expect, it } from 'vitest';
import { efficiencies, expectedExperts, hardwareTable, plan, PURPOSES } from '../../src/analysis/index.js';
import type { PlanOptions } from '../../src/analysis/index.js';
import { layoutFor } from '../../src/analysis/plan/layout.js';
import { openProfile, settingsOf } from '../../src/analysis/plan/plan.js';
import { findHardware } from '../../src/analysis/plan/hardware.js';
import { findPublished } from '../../src/models/published.js';

const only = async (model: string, options: Omit<PlanOptions, 'models'>) => (await plan({ ...options, models: [model] })).entries[0];

describe('distinct experts', () => {
  it('of one token are those it chooses, of very many tokens all', () => {
    expect(expectedExperts(256, 8, 1)).toBeCloseTo(8, 10);
    expect(expectedExperts(256, 8, 1e6)).toBeCloseTo(256, 6);
    expect(expectedExperts(16, 16, 3)).toBe(16);
  });

  it('are in expectation what drawing them gives', () => {
    // Every way in which 3 tokens choose 2 of 4 experts: 6^3 of them.
    const choices = [0b0011, 0b0101, 0b1001, 0b0110, 0b1010, 0b1100];
    const ones = (bits: number) => [0, 1, 2, 3].filter((i) => bits & (1 << i)).length;
    let sum = 0;
    for (const a of choices) for (const b of choices) for (const c of choices) sum += ones(a | b | c);
    expect(expectedExperts(4, 2, 3)).toBeCloseTo(sum / 216, 10);
  });
});

describe('bytes of a decode step', () => {
  it('of a dense model are its weights but the embedding, once whatever the batch', async () => {
    const profile = await openProfile('qwen3-8b');
    const [one, eight] = [profile.decode(8192, 1, 'bf16', 'bf16'), profile.decode(8192, 8, 'bf16', 'bf16')];
    const [total, embedding] = [8_190_735_360, 151936 * 4096];
    expect(one.weightBytes).toBe(2 * (total - embedding + 4096));
    expect(eight.weightBytes - one.weightBytes).toBe(2 * 7 * 4096);
    expect(eight.cacheBytes).toBe(8 * 8192 * 147456);
    expect(eight.flops).toBe(8 * one.flops);
  });

  it('of a tied model count the table as the head, and q8_0 is what the engine reads per token', async () => {
    const profile = await openProfile('qwen3-0.6b');
    // 633 MB and one row of the table.
    expect(profile.decode(1, 1, 'q8_0', 'bf16').weightBytes / profile.weights.q8_0.bytes).toBeCloseTo(1, 4);
  });

  it('of a mixture of experts grow with the batch as the expectation says', async () => {
    const profile = await openProfile('deepseek-v3');
    const expert = 2 * 3 * 7168 * 2048;
    const read = (batch: number) => profile.decode(1, batch, 'bf16', 'bf16').weightBytes;
    const grown = (batch: number) => 58 * expert * (expectedExperts(256, 8, batch) - 8) + 2 * 7168 * (batch - 1);
    for (const batch of [2, 16, 256]) expect((read(batch) - read(1)) / grown(batch)).toBeCloseTo(1, 9);
    // At batch 1 the active parameters, less the embedding of which one row is read.
    expect(read(1)).toBeCloseTo(2 * (profile.active - 129280 * 7168 + 7168), -1);
  });
});

describe('the roofline', () => {
  it('is bytes over bandwidth, or operations over arithmetic, at the shares of the table', async () => {
    const [bandwidth, flops] = [100e9, 10e12];
    const own = { memory: 64e9, bandwidth, flops, kind: 'cpu' as const };
    const { speed } = await only('qwen3-8b', { hardware: own, context: 4096, weights: 'bf16' });
    const profile = await openProfile('qwen3-8b');
    const share = efficiencies.cpu;
    const step = profile.decode(4096, 1, 'bf16', 'bf16');
    const layers = 36 * share.secondsPerLayer;
    expect(1 / speed!.tokensPerSecond).toBeCloseTo((step.weightBytes + step.cacheBytes) / (bandwidth * share.bandwidth) + layers, 9);
    // 4,096 tokens in 16 chunks: bound by arithmetic.
    const { flops: work } = profile.prefill(4096, 256, 'bf16', 'bf16');
    expect(speed!.timeToFirstToken).toBeCloseTo(work / (flops * share.arithmetic) + 16 * layers, 6);
    expect(speed).toMatchObject({ boundBy: 'bandwidth', measured: true });
    const slow = await only('qwen3-8b', { hardware: { ...own, flops: 1e10 }, context: 4096, weights: 'bf16' });
    expect(slow.speed!.boundBy).toBe('arithmetic');
  });

  it('predicts no time to first token where nobody says how fast a machine computes', async () => {
    const entry = await only('qwen3-0.6b', { hardware: 'mac-m4-max-128gb' });
    expect(entry.speed!.timeToFirstToken).toBeNull();
    expect(entry.reasons.join()).toMatch(/arithmetic of this machine is not known/);
    expect(entry.speed!.measured).toBe(false);
  });

  // Medians of three rounds, and three shapes that the efficiencies were not fitted to: docs/planner.md.
  it.each([
    ['gpt2', undefined, 141.3], ['gemma-3-270m', undefined, 69.5], ['qwen3-0.6b', undefined, 35.7], ['gemma-3-1b-it', undefined, 23.0], ['llama-3.2-1b', undefined, 20.2],
    ['qwen3-30b-a3b', 2, 61.0], ['gpt2-medium', undefined, 55.3], ['qwen3-1.7b', undefined, 13.7], ['olmo-2-0425-1b', undefined, 20.2],
  ] as const)('comes within a quarter of the measured decode speed of %s', async (name, layers, measured) => {
    const config = { ...findPublished(name)!.config, ...(layers ? { num_hidden_layers: layers } : {}) };
    const { entries: [{ speed }] } = await plan({ hardware: 'server-2-cores', models: [config], context: 160, prompt: 128, weights: 'q8_0', kv: 'f32' });
    expect(Math.abs(speed!.tokensPerSecond / measured - 1)).toBeLessThan(0.25);
  });

  it.each([
    ['qwen3-8b', 'bf16', 224], ['qwen3-8b', 'q8_0', 334], ['qwen3-8b', 'q4_0', 450], ['qwen3-0.6b', 'bf16', 927], ['qwen3-0.6b', 'q8_0', 1084], ['qwen3-0.6b', 'q4_0', 1074], ['qwen3-30b-a3b', 'bf16', 319], ['qwen3-30b-a3b', 'q4_0', 425],
  ] as const)('comes within a quarter of the decode speed of %s in %s on an H200', async (name, weights, measured) => {
    const { entries: [{ speed }] } = await plan({ hardware: 'h200', models: [findPublished(name)!.config], context: 640, prompt: 512, weights, kv: 'bf16' });
    expect(Math.abs(speed!.tokensPerSecond / measured - 1)).toBeLessThan(0.25);
  });
});

describe('what fits', () => {
  it('DeepSeek V3 in FP8 on 8 H200 and 16 H100, not on 8 H100', async () => {
    expect(await only('deepseek-v3', { hardware: 'h200', devices: 8, weights: 'fp8' })).toMatchObject({ fits: true, devicesNeeded: 8, layout: { nodes: 1, tensor: 8, pipeline: 1, experts: true, cacheShards: 1 } });
    expect(await only('deepseek-v3', { hardware: 'h100', devices: 8, weights: 'fp8' })).toMatchObject({ fits: false, speed: null, devicesNeeded: 16 });
    expect(await only('deepseek-v3', { hardware: 'h100', devices: 16, weights: 'fp8' })).toMatchObject({ fits: true, layout: { nodes: 2, tensor: 8, pipeline: 2, cacheShards: 2 } });
    expect(await only('deepseek-v3', { hardware: 'h200', devices: 16, weights: 'bf16' })).toMatchObject({ fits: true });
  });

  it('Kimi K2 on 16, Qwen3-235B on 4, Llama 4 Scout on 1', async () => {
    for (const hardware of ['h100', 'h200']) expect(await only('kimi-k2', { hardware, devices: 16, weights: 'fp8' })).toMatchObject({ fits: true, layout: { nodes: 2 } });
    expect(await only('kimi-k2', { hardware: 'h200', devices: 8, weights: 'fp8' })).toMatchObject({ fits: false });
    expect(await only('qwen3-235b-a22b', { hardware: 'h100', devices: 4, weights: 'fp8' })).toMatchObject({ fits: true, layout: { tensor: 4, cacheShards: 4 } });
    expect(await only('qwen3-235b-a22b', { hardware: 'h200', devices: 4, weights: 'bf16' })).toMatchObject({ fits: true });
    expect(await only('llama-4-scout', { hardware: 'h200', weights: 'fp8' })).toMatchObject({ fits: true, devicesNeeded: 1 });
    expect(await only('llama-4-scout', { hardware: 'h100', weights: 'q4_0' })).toMatchObject({ fits: true });
    expect(await only('llama-4-scout', { hardware: 'h100', weights: 'bf16' })).toMatchObject({ fits: false, devicesNeeded: 4 });
  });

  it('adds up memory by hand', async () => {
    const { memory } = await only('qwen3-8b', { hardware: 'rtx-4090', context: 8192, weights: 'q8_0', kv: 'fp8', batch: 2 });
    const profile = await openProfile('qwen3-8b');
    expect(memory).toMatchObject({ weights: profile.weights.q8_0.bytes, kv: 2 * 8192 * 73728, reserve: 2.4e9, available: 24e9 });
    // The widest op of 2,048 tokens: both halves of the feed-forward and their product, beside the residual stream and two rows of logits.
    expect(memory!.workspace).toBe(4 * 2048 * (3 * 12288) + 4 * 2048 * 4096 + 4 * 2 * 151936);
    expect(memory!.total).toBe(memory!.weights + memory!.kv + memory!.workspace + memory!.reserve);
  });

  it('has limits that hold, and that one more breaks', async () => {
    const options = { hardware: 'rtx-4090', context: 8192 } as const;
    const { largestContext, largestBatch } = await only('qwen3-8b', options);
    expect((await only('qwen3-8b', { ...options, context: largestContext })).fits).toBe(true);
    expect((await only('qwen3-8b', { ...options, context: largestContext + 1 })).fits).toBe(false);
    expect((await only('qwen3-8b', { ...options, batch: largestBatch })).fits).toBe(true);
    expect((await only('qwen3-8b', { ...options, batch: largestBatch + 1 })).fits).toBe(false);
  });

  it('says why not', async () => {
    expect((await only('gpt2', { hardware: 'h100' })).obstacle).toBe("a context of 8,192 is beyond the model's 1,024");
    expect((await only('qwen3-32b', { hardware: 'rtx-4090' })).obstacle).toMatch(/^its weights take 65\.5 GB and 21\.6 GB can be used$/);
    expect((await only('qwen3-8b', { hardware: 'rtx-4090', context: 40960 })).obstacle).toMatch(/^it needs .* with its cache, and there are 24\.0 GB$/);
  });
});

describe('layouts', () => {
  const h100 = findHardware('h100');
  it('finds hardware by the name on the box', () => expect(findHardware(' RTX 4090')).toBe(findHardware('rtx-4090')));
  it('divide heads, key heads, feed-forwards and FP8 blocks', async () => {
    expect(layoutFor(await openProfile('qwen3-8b'), h100, 3, { format: 'bf16' })).toBe('32 heads cannot be divided over 3 devices');
    expect(layoutFor(await openProfile('gpt2-xl'), h100, 2, { format: 'bf16' })).toBe('25 heads cannot be divided over 2 devices');
    // 1,536 over 8 is 192: one and a half FP8 blocks. Whole experts are spread instead.
    expect(layoutFor(await openProfile('qwen3-235b-a22b'), h100, 8, { format: 'fp8' })).toMatchObject({ tensor: 8, experts: true, cacheShards: 4 });
    expect(layoutFor(await openProfile('qwen3-8b'), h100, 12, { format: 'bf16' })).toBe('12 devices do not fill machines of 8: use a multiple of 8');
    expect(layoutFor(await openProfile('gpt2'), findHardware('mac-m4-32gb'), 13, { format: 'bf16' })).toBe('13 pipeline stages are more than the 12 layers');
  });

  it('make copies for throughput where one machine holds several', async () => {
    expect(await only('qwen3-8b', { hardware: 'h100', devices: 8, purpose: 'throughput', batch: 64 })).toMatchObject({ layout: { data: 8, tensor: 1 } });
    expect(await only('qwen3-8b', { hardware: 'h100', devices: 8, purpose: 'chat' })).toMatchObject({ layout: { data: 1, tensor: 8 } });
  });
});

describe('a plan over everything', () => {
  it('names every built-in model of an implemented family once, the fitting first, with reasons', async () => {
    const { entries, ...settings } = await plan({ hardware: 'rtx-4090' });
    expect(settings).toMatchObject({ purpose: 'chat', weights: 'bf16', kv: 'bf16', context: 8192, batch: 1, launch: null });
    const names = entries.map(({ model }) => model);
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('moonshotai/Kimi-K2-Instruct');
    expect(names.filter((name) => /gpt-oss|glm|next/i.test(name))).toEqual([]);
    const order = entries.map(({ fits }) => fits);
    expect(order).toEqual([...order].sort((a, b) => Number(b) - Number(a)));
    expect(names[0]).toBe('Qwen/Qwen3-8B');
    for (const { fits, reasons, obstacle, speed } of entries) {
      if (fits) expect(reasons.length).toBeGreaterThan(1);
      else expect([obstacle, speed]).toEqual([expect.any(String), null]);
    }
  });

  it('ranks by what the purpose wants', async () => {
    const fast = await plan({ hardware: 'h100', purpose: 'throughput', models: ['qwen3-0.6b', 'qwen3-8b'] });
    expect(fast.entries[0].model).toBe('Qwen/Qwen3-0.6B');
    const device = await plan({ hardware: 'galaxy-s24-ultra', purpose: 'on-device' });
    expect(device).toMatchObject({ weights: 'q8_0', context: PURPOSES['on-device'].context });
    const { memory, reasons } = device.entries[0];
    expect(memory!.total - memory!.reserve).toBeLessThan((memory!.available - memory!.reserve) / 2);
    expect(reasons[0]).toMatch(/tokens per second, on-device wants 8/);
  });
});

describe('the table of machines', () => {
  it('gives every figure a source with a year, and names once', () => {
    expect(new Set(hardwareTable.map(({ name }) => name)).size).toBe(hardwareTable.length);
    for (const { name, source, memory, bandwidth } of hardwareTable) {
      expect(source, name).toMatch(/20(1|2)\d/);
      expect(memory / bandwidth, name).toBeGreaterThan(0.001);
      expect(memory / bandwidth, name).toBeLessThan(1);
    }
    expect(new Set(hardwareTable.map(({ kind }) => kind))).toEqual(new Set(['gpu', 'mac', 'phone', 'cpu']));
  });
});

describe('one line for', () => {
  it.each<[string, object, RegExp]>([
    ['unknown hardware', { hardware: 'h1000' }, /^no hardware is called 'h1000'/],
    ['hardware that is near another', { hardware: 'mac-m9-max' }, /near it: mac-/],
    ['no memory', { hardware: { memory: 0, bandwidth: 1e9 } }, /^memory must be from .* got 0$/],
    ['memory that is no number', { hardware: { memory: NaN, bandwidth: 1e9 } }, /^memory must be/],
    ['a negative bandwidth', { hardware: { memory: 1e9, bandwidth: -1 } }, /^bandwidth must be/],
    ['infinite arithmetic', { hardware: { memory: 1e9, bandwidth: 1e9, flops: Infinity } }, /^flops must be/],
    ['half a device', { devices: 0.5 }, /^devices must be a whole number from 1/],
    ['a context of nothing', { context: 0 }, /^context must be a whole number from 1/],
    ['a prompt longer than the context', { context: 100, prompt: 200 }, /^a prompt of 200 tokens is longer than the context of 100$/],
    ['a format from elsewhere', { weights: 'q3_k' }, /^weights must be f32, .* or q4_0, got 'q3_k'$/],
    ['a precision from elsewhere', { kv: 'int4' }, /^kv must be/],
    ['an unknown purpose', { purpose: 'fun' }, /^purpose must be chat,/],
  ])('%s', async (_, options, message) => {
    const error = await plan({ hardware: 'h100', models: ['gpt2'], ...options } as PlanOptions).then(() => undefined, (reason: unknown) => reason as Error);
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain('\n');
    expect(() => settingsOf({ hardware: 'h100' })).not.toThrow();
  });

  it('absurd configs', async () => {
    const config = { ...findPublished('qwen3-8b')!.config, num_hidden_layers: 0 };
    await expect(plan({ hardware: 'h100', models: [config] })).rejects.toThrow(/num_hidden_layers must be a whole number from 1/);
    await expect(plan({ hardware: 'h100', models: ['gpt-oss-20b'] })).rejects.toThrow(/unknown model_type 'gpt_oss'/);
  });
});
