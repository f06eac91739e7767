// `lamella plan` and `lamella inspect --set`: what they print for people and programs, and exit codes.

import { describe, expect, it } from 'vitest';
import { hardwareTable } from '../../src/analysis/index.js';
import { fakeIo, lamella, lamellaWith } from '../cli/helpers.js';

describe('plan', () => {
  it('prints a table that fits the terminal, reasons and what does not fit', async () => {
    for (const columns of [80, 120]) {
      const { code, out, err } = await lamellaWith(fakeIo({ terminal: true, columns }), 'plan', 'qwen3-8b', 'qwen3-0.6b', 'qwen3-32b', '--hardware', 'rtx-4090');
      expect({ code, err }).toEqual({ code: 0, err: '' });
      const rows = out.split('\n\n1. ')[0].split('\n').slice(3);
      expect(Math.max(...rows.map((line) => line.length))).toBeLessThanOrEqual(columns);
      for (const line of [/^machine +rtx-4090: 24\.0 GB, 1\.0 TB\/s$/m, /^for +chat: 8,192 tokens of context, one sequence, weights bf16, cache bf16$/m, /^Qwen\/Qwen3-8B +8\.2B +16\.4 GB/m, /^1\. Qwen\/Qwen3-8B: \d+ tokens per second, chat wants 10;/m, /^ {2}Qwen\/Qwen3-32B: its weights take 65\.5 GB/m, /^Speeds at 93 % of the bandwidth/m]) expect(out).toMatch(line);
    }
  });

  it('gives JSON with every figure', async () => {
    const { code, out } = await lamella('plan', 'deepseek-v3', '--hardware', 'h200', '--devices', '8', '--weights', 'fp8', '--engine', 'vllm', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      devices: 8, weights: 'fp8', hardware: { name: 'h200', memory: 141e9 }, efficiency: { engine: 'webgpu' },
      entries: [{ model: 'deepseek-ai/DeepSeek-V3', fits: true, devicesNeeded: 8, speed: { measured: false }, layout: { tensor: 8 } }],
      launch: { engine: 'vllm', commands: [expect.stringMatching(/^vllm serve deepseek-ai\/DeepSeek-V3 --tensor-parallel-size 8 --enable-expert-parallel /)] },
    });
  });

  it('takes figures of your own', async () => {
    const { out } = await lamella('plan', 'qwen3-8b', '--memory', '32', '--bandwidth', '200', '--flops', '5', '--kind', 'mac', '--weights', 'q8_0', '--json');
    expect(JSON.parse(out)).toMatchObject({ hardware: { name: 'your own', kind: 'mac', memory: 32e9, bandwidth: 200e9, flops: { bf16: 5e12 } }, entries: [{ fits: true, memory: { reserve: 8e9 } }] });
  });

  it('prints the launch and the manifest', async () => {
    const { out } = await lamella('plan', 'kimi-k2', '--hardware', 'h100', '--devices', '16', '--weights', 'fp8', '--engine', 'sglang');
    expect(out.match(/^python3 -m sglang\.launch_server /gm)).toHaveLength(2);
    expect(out).toMatch(/^kind: LeaderWorkerSet$/m);
    expect(out).toMatch(/^# LEADER is the address/m);
  });

  it('lists the machines with their sources', async () => {
    const { code, out } = await lamella('plan', '--list-hardware');
    expect(code).toBe(0);
    for (const { name } of hardwareTable) expect(out).toMatch(new RegExp(`^${name} `, 'm'));
    expect(out).toMatch(/^h100 +80 GB +3350 GB\/s +989 +1979 +67 +NVIDIA H100 datasheet, 2023/m);
    expect(JSON.parse((await lamella('plan', '--list-hardware', '--json')).out)).toEqual(JSON.parse(JSON.stringify(hardwareTable)));
  });

  it.each<[string, string[], number, RegExp]>([
    ['no machine', ['gpt2'], 2, /plan needs a machine: --hardware <name>/],
    ['two machines', ['--hardware', 'h100', '--memory', '3'], 2, /give one or the other/],
    ['an unknown kind', ['--memory', '3', '--bandwidth', '3', '--kind', 'abacus'], 2, /--kind is gpu, mac, phone or cpu, got 'abacus'/],
    ['an unknown engine', ['gpt2', '--hardware', 'h100', '--engine', 'ollama'], 2, /--engine is vllm, sglang or none/],
    ['no memory', ['--memory', '0', '--bandwidth', '3'], 2, /--memory/],
    ['an unknown machine', ['--hardware', 'nosuch'], 1, /^lamella: no hardware is called 'nosuch'/],
    ['an unknown model', ['no such model', '--hardware', 'h100'], 1, /no built-in model is called/],
    ['a launch that does not fit', ['deepseek-v3', '--hardware', 't4', '--weights', 'fp8', '--engine', 'vllm'], 1, /^lamella: there is no launch for deepseek-ai\/DeepSeek-V3/],
  ])('refuses %s', async (_, args, wanted, message) => {
    const { code, out, err } = await lamella('plan', ...args);
    expect({ code, out }).toEqual({ code: wanted, out: '' });
    expect(err).toMatch(message);
    expect(err.trim().split('\n').length).toBe(1);
  });
});

describe('inspect --set', () => {
  it('prints the original beside the changed', async () => {
    const { code, out, err } = await lamella('inspect', 'deepseek-v3', '--set', 'n_routed_experts=64', '--set', 'kv_lora_rank=256');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^with n_routed_experts = 64, kv_lora_rank = 256$/m);
    expect(out).toMatch(/^\* parameters +671\.0B +179\.9B$/m);
    expect(out).toMatch(/^\* KV cache per token +70,272 B +39,040 B$/m);
  });

  it('reads values as JSON, and gives JSON', async () => {
    const { out } = await lamella('inspect', 'deepseek-v3', '--set', 'q_lora_rank=null', '--set', 'tie_word_embeddings=true', '--json');
    expect(JSON.parse(out)).toMatchObject({ overrides: { q_lora_rank: null, tie_word_embeddings: true }, original: { tiedHead: false }, changed: { tiedHead: true } });
  });

  it('refuses what is no assignment, and fields that the family does not read', async () => {
    expect(await lamella('inspect', 'gpt2', '--set', 'n_head')).toEqual({ code: 2, out: '', err: "lamella: --set takes field=value, got 'n_head'\n" });
    const { code, err } = await lamella('inspect', 'gpt2', '--set', 'kv_lora_rank=3');
    expect({ code, err }).toEqual({ code: 1, err: expect.stringMatching(/^lamella: the gpt2 family does not read 'kv_lora_rank'/) as string });
  });
});
