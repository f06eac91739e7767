// inspect, compare, doctor: what they print for people and for programs.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { convertToGguf, openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { webAssemblyFeatures } from '../../src/platform/webassembly.js';
import { diagnosisLines } from '../../src/cli/doctor.js';
import type { Diagnosis } from '../../src/cli/doctor.js';
import { selfTest } from '../../src/cli/selftest.js';
import { backendNames } from '../../src/engine/index.js';
import { findPublished, publishedNames } from '../../src/models/published.js';
import { fakeHub } from '../checkpoint/fake-hub.js';
import { modelDirectory, titled } from '../support.js';
import { fakeIo, lamella, lamellaWith, safetensors, tinyConfig, tinyModel, tinyShapes } from './helpers.js';
import { temporaryFolder } from '../temporary.js';

/** What `npm start` compares. */
const story = ['gpt2-xl', 'deepseek-v3', 'olmo-2-1124-7b', 'gemma-3-27b', 'mistral-small-3.1', 'llama-4-maverick', 'qwen3-235b-a22b', 'smollm3-3b', 'kimi-k2'];
const published = JSON.parse(readFileSync(new URL('../data/published.json', import.meta.url), 'utf8')) as Record<string, { computed: { params_text: number; params_active_incl_embeddings?: number }; kv_per_token: { bytes_bf16: number } }>;

describe('inspect', () => {
  it('gives JSON with every figure', async () => {
    const { code, out, err } = await lamella('inspect', 'qwen3-30b-a3b', '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const result = JSON.parse(out) as Record<string, unknown> & { parameters: Record<string, unknown>; layers: Record<string, unknown>[] };
    expect(result).toMatchObject({
      family: 'qwen3', name: 'Qwen/Qwen3-30B-A3B', kvBytesPerToken: 98304, contextLength: 40960, vocabularySize: 151936, skippedTensors: [],
      context: 8192, kvAtContext: 98304 * 8192,
    });
    expect(Object.keys(result.parameters)).toEqual(['total', 'active', 'stored', 'byPart']);
    expect(result.parameters).toMatchObject({ total: 30532122624, active: 3353032704, stored: null });
    expect(result.layers).toHaveLength(48);
    expect(result.layers[0]).toMatchObject({ index: 0, attention: 'GQA', heads: 32, kvHeads: 4, headDim: 128, mlp: { kind: 'moe', experts: 128, perToken: 8 } });
  });

  it('shows people the same, layers that are alike in one row', async () => {
    const { code, out, err } = await lamella('inspect', 'deepseek-v3');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const line of [/^deepseek-ai\/DeepSeek-V3 \(deepseek_v3\)$/m, /^parameters +671\.0B \(671,026,419,200\)$/m, /^active per token +37\.6B/m, /^KV cache +70,272 B per token/m, /^61 layers$/m, /^ +0-2 +SwiGLU 18,432/m, /^ +3-60 +256 experts of 2,048, top 8, 1/m]) expect(out).toMatch(line);
    const gemma = await lamella('inspect', 'gemma-3-4b-it', '--context', '131072');
    expect(gemma.out).toMatch(/0-4, 6-10, 12-16.* window 1,024/);
    expect(gemma.out).toMatch(/at 131,072 tokens/);
  });

  it('fits the terminal', async () => {
    for (const columns of [80, 100, 140]) for (const name of ['deepseek-v3', 'gemma-3-27b', 'llama-4-maverick']) {
      const { out } = await lamellaWith(fakeIo({ terminal: true, columns }), 'inspect', name);
      expect(Math.max(...out.split('\n').map((line) => line.length)), `${name} at ${columns}`).toBeLessThanOrEqual(columns);
    }
  });

  it('looks at the headers of a checkpoint: what is stored, what is skipped', async () => {
    const shapes = { ...tinyShapes(), 'model.layers.0.self_attn.rotary_emb.inv_freq': [2], 'vision_tower.patch.weight': [4, 4] };
    const folder = tinyModel({ shapes });
    const { out, code } = await lamella('inspect', folder, '--json');
    expect(code).toBe(0);
    const result = JSON.parse(out) as { parameters: { total: number; stored: number }; skippedTensors: string[] };
    expect(result.skippedTensors).toEqual(['model.layers.0.self_attn.rotary_emb.inv_freq', 'vision_tower.patch.weight']);
    expect(result.parameters.stored).toBe(result.parameters.total + 18);
    const shown = await lamella('inspect', folder);
    expect(shown.out).toMatch(/^2 stored tensors not used$/m);
    expect(shown.out).toMatch(/^ {2}vision_tower\.patch\.weight$/m);
  });

  it('never reads the weights', async () => {
    // Headers that promise two gigabytes, in a file that has them as a hole.
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'config.json'), JSON.stringify(tinyConfig));
    const { truncateSync } = await import('node:fs');
    const header = (size: number) => JSON.stringify({ big: { dtype: 'F32', shape: [size / 4], data_offsets: [0, size] } });
    const size = 2 ** 31;
    const json = header(size);
    const file = Buffer.alloc(8 + json.length);
    file.writeBigUInt64LE(BigInt(json.length), 0);
    file.write(json, 8);
    writeFileSync(join(folder, 'model-00002-of-00002.safetensors'), file);
    truncateSync(join(folder, 'model-00002-of-00002.safetensors'), 8 + json.length + size);
    writeFileSync(join(folder, 'model-00001-of-00002.safetensors'), safetensors(tinyShapes()));
    const map = Object.fromEntries([...Object.keys(tinyShapes()).map((name) => [name, 'model-00001-of-00002.safetensors']), ['big', 'model-00002-of-00002.safetensors']]);
    writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
    const started = performance.now();
    const { out, code } = await lamella('inspect', folder, '--json');
    expect(code).toBe(0);
    expect((JSON.parse(out) as { skippedTensors: string[] }).skippedTensors).toEqual(['big']);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it('reads a hub model by ranges, and stores nothing', async () => {
    const folder = tinyModel();
    const files = ['config.json', 'model.safetensors', 'tokenizer.json'].map((name) => [name, readFileSync(join(folder, name))] as const);
    const hub = await fakeHub('owner/tiny', Object.fromEntries(files));
    const cache = temporaryFolder();
    vi.stubEnv('HF_ENDPOINT', hub.endpoint);
    vi.stubEnv('HF_HUB_CACHE', cache);
    try {
      const { code, out, err } = await lamella('inspect', 'owner/tiny', '--json');
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(JSON.parse(out)).toMatchObject({ name: 'owner/tiny', family: 'llama', skippedTensors: [] });
      const weights = hub.fetches('model.safetensors');
      expect(weights.length).toBeGreaterThan(0);
      for (const { range } of weights) expect(range).toMatch(/^bytes=/);
      const asked = weights.map(({ range }) => { const [, from, to] = /(\d+)-(\d+)/.exec(range!)!; return Number(to) - Number(from) + 1; });
      expect(asked.reduce((a, b) => a + b, 0)).toBeLessThan(files[1][1].length / 2);
      expect(readdirSync(cache)).toEqual([]);
      const compared = await lamella('compare', 'owner/tiny', 'gpt2', '--json');
      expect(compared.code).toBe(0);
      expect(hub.fetches('model.safetensors').length, 'compare reads the config alone').toBe(weights.length);
      const absent = await lamella('inspect', 'owner/none');
      expect(absent).toMatchObject({ code: 1, out: '' });
      expect(absent.err).toMatch(/there is no file or directory "owner\/none"; as a hub id, owner\/none: the hub has no model of this name/);
    } finally {
      vi.unstubAllEnvs();
      await hub.close();
    }
  });

  it('looks into GGUF files as well', async () => {
    const checkpoint = await openCheckpoint(await resolveSource(tinyModel()));
    const file = join(temporaryFolder(), 'tiny.gguf');
    const chunks: Uint8Array[] = [];
    for await (const chunk of convertToGguf(checkpoint, { format: 'q8_0' }).stream) chunks.push(chunk);
    await checkpoint.close();
    writeFileSync(file, Buffer.concat(chunks));
    const { code, out } = await lamella('inspect', file, '--json');
    expect(code).toBe(0);
    const result = JSON.parse(out) as { parameters: { total: number; stored: number }; weightBytes: number };
    expect(result.parameters.stored).toBe(result.parameters.total);
    expect(result.weightBytes).toBeLessThan(2 * result.parameters.total);
    const { rows } = JSON.parse((await lamella('compare', file, tinyModel(), '--json')).out) as { rows: { label: string; differs: boolean }[] };
    expect(rows.filter(({ differs }) => differs)).toEqual([]);
  });

  it('finds missing and misshapen tensors', async () => {
    const { 'model.layers.1.mlp.up_proj.weight': _, ...fewer } = tinyShapes();
    expect(await lamella('inspect', tinyModel({ shapes: fewer }))).toEqual({ code: 1, out: '', err: "lamella: the checkpoint has no tensor 'model.layers.1.mlp.up_proj.weight' of shape [32, 16], which layers.1.mlp.up_proj.weight needs\n" });
    const { code, err } = await lamella('inspect', tinyModel({ shapes: { ...tinyShapes(), 'model.norm.weight': [15] } }), '--json');
    expect(err).toMatch(/has shape \[15\], expected \[16\]/);
    expect(code).toBe(1);
  });

  it('counts many skipped tensors by group', async () => {
    const vision = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`vision_tower.blocks.${i}.weight`, [2]]));
    const { out } = await lamella('inspect', tinyModel({ shapes: { ...tinyShapes(), ...vision } }));
    expect(out).toMatch(/^20 stored tensors not used\n {2}vision_tower\.blocks\.\* +20$/m);
  });

  it('reads a config.json by its path', async () => {
    const path = join(temporaryFolder(), 'config.json');
    writeFileSync(path, JSON.stringify(findPublished('gpt2')!.config));
    expect((await lamella('inspect', path)).out).toMatch(/124\.4M \(124,439,808\)/);
    const { num_layers: _, n_layer: __, ...fewer } = findPublished('gpt2')!.config;
    writeFileSync(path, JSON.stringify(fewer));
    expect((await lamella('inspect', path)).err).toMatch(/^lamella: .*config\.json: missing key 'n_layer'/);
  });

  it('says what is near a mistyped name, and which families are known', async () => {
    const typo = await lamella('inspect', 'qwen3 8b');
    expect(typo.code).toBe(1);
    expect(typo.err).toMatch(/near it: .*qwen3-8b/);
    const other = await lamella('inspect', 'gpt-oss-20b');
    expect(other).toMatchObject({ code: 1, out: '' });
    expect(other.err).toMatch(/^lamella: openai\/gpt-oss-20b: config\.json: unknown model_type 'gpt_oss'; known are .*\n$/);
  });

  it.each(['deepseek_v3_fp8', 'qwen3_moe'].filter(modelDirectory))('inspects %s as it is stored', async (name) => {
    const { out, code } = await lamella('inspect', modelDirectory(name)!, '--json');
    expect(code, titled(name)).toBe(0);
    const { weightBytes, parameters } = JSON.parse(out) as { weightBytes: number; parameters: { total: number } };
    expect(weightBytes).toBeLessThanOrEqual(parameters.total * 4);
  });
});

describe('compare', () => {
  it('shows the nine designs, from GPT-2 to Kimi K2', async () => {
    const { code, out, err } = await lamella('compare', ...story);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const row = (label: string) => out.split('\n').find((line) => line.startsWith(label))!.slice(label.length).trim().split(/ {2,}/);
    expect(row('* parameters')).toEqual(['1.6B', '671.0B', '7.3B', '27.0B', '23.6B', '400.7B', '235.1B', '3.1B', '1.026T']);
    expect(row('* active per token')).toEqual(['1.6B', '37.6B', '7.3B', '27.0B', '23.6B', '17.2B', '22.2B', '3.1B', '32.9B']);
    expect(row('* KV cache per token')).toEqual(['307,200 B', '70,272 B', '524,288 B', '507,904 B', '163,840 B', '196,608 B', '192,512 B', '73,728 B', '70,272 B']);
    expect(out.trimEnd().split('\n').at(-1)).toBe('* differs between the models');
  });

  it('gives them exactly as JSON', async () => {
    const { code, out } = await lamella('compare', ...story, '--json');
    expect(code).toBe(0);
    const { models, rows } = JSON.parse(out) as { models: { name: string }[]; rows: { key: string; values: unknown[]; differs: boolean }[] };
    const want = story.map((name) => published[findPublished(name)!.hubId]);
    const values = (key: string) => rows.find((row) => row.key === key)!.values;
    expect(models).toHaveLength(9);
    expect(values('parameters')).toEqual(want.map(({ computed }) => computed.params_text));
    expect(values('active')).toEqual(want.map(({ computed }) => computed.params_active_incl_embeddings ?? computed.params_text));
    expect(values('kvBytesPerToken')).toEqual(want.map(({ kv_per_token: kv }) => kv.bytes_bf16));
    expect(rows.every(({ differs }) => differs)).toBe(true);
  });

  it('marks what differs and leaves what is the same', async () => {
    const { out } = await lamella('compare', 'qwen3-0.6b', 'qwen3-1.7b');
    expect(out).toMatch(/^\* parameters /m);
    expect(out).toMatch(/^ {2}attention /m);
    expect(out).toMatch(/^ {2}KV cache per token /m);
  });

  it('cuts a table that is too wide for the terminal into blocks', async () => {
    for (const columns of [60, 80, 120, 200]) {
      const { out } = await lamellaWith(fakeIo({ terminal: true, columns }), 'compare', ...story);
      const lines = out.split('\n');
      expect(Math.max(...lines.map((line) => line.length)), `${columns} columns`).toBeLessThanOrEqual(columns);
      const rows = lines.filter((line) => line.startsWith('* parameters'));
      expect(rows.length).toBeGreaterThanOrEqual(columns < 200 ? 2 : 1);
      expect(rows.join(' ').match(/671\.0B|1\.026T/g)).toEqual(['671.0B', '1.026T']);
    }
  });

  it('takes another context, which learned positions limit', async () => {
    const { out } = await lamella('compare', 'gpt2', 'gemma-3-27b', '--context', '131072', '--json');
    const { rows } = JSON.parse(out) as { rows: { key: string; values: number[] }[] };
    expect(rows.find(({ key }) => key === 'context')!.values).toEqual([1024, 131072]);
    expect(rows.find(({ key }) => key === 'kvAtContext')!.values[1]).toBe((10 * 131072 + 52 * 1024) * 8192);
  });

  it('is quick', async () => {
    const started = performance.now();
    await lamella('compare', ...publishedNames.filter((name) => /^(deepseek|kimi-k2|llama-4|qwen3-\d)/.test(name)));
    expect(performance.now() - started).toBeLessThan(8000);
  });

  it('compares nine designs without models', async () => {
    expect((await lamella('compare', '--json')).out).toBe((await lamella('compare', ...story, '--json')).out);
  });

  it('names what is wrong', async () => {
    expect((await lamella('compare', 'gpt2', '--context', '0')).code).toBe(2);
    const { code, out, err } = await lamella('compare', 'gpt2', 'gpt-oss-20b');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/openai\/gpt-oss-20b/);
  });
});

describe('doctor', () => {
  it('tells what the machine has and tests each backend', async () => {
    const { code, out } = await lamella('doctor', '--json');
    expect(code).toBe(0);
    const diagnosis = JSON.parse(out) as Diagnosis;
    expect(diagnosis.node).toBe(process.version);
    expect(diagnosis.cpu.cores).toBeGreaterThan(0);
    expect(diagnosis.memory.total).toBeGreaterThan(diagnosis.memory.free);
    expect(diagnosis.backends.map(({ name }) => name)).toEqual([...backendNames]);
    expect(diagnosis.backends[0]).toMatchObject({ name: 'reference', ok: true });
    for (const { ok, reason } of diagnosis.backends) expect(ok).toBe(reason === undefined);
    expect(typeof diagnosis.webgpu.available).toBe('boolean');
  });

  it('shows people one line per thing', async () => {
    const { code, out } = await lamella('doctor');
    expect(code).toBe(0);
    for (const line of [/^Node +v\d+/m, /^CPU +.*\d+ cores$/m, /^memory +[\d.]+ GB/m, /^WebAssembly +simd (yes|no), threads (yes|no)/m, /^WebGPU +\S/m, /^hub cache +\S/m, /^ {2}reference +ok \(\d+ ms\)$/m]) expect(out).toMatch(line);
  });

  it('knows the features of this engine', () => {
    // Every Node that Lamella runs on has both.
    expect(webAssemblyFeatures()).toMatchObject({ simd: true, threads: true });
  });

  it('reports a backend that does not load, without failing', async () => {
    const result = await selfTest('abacus' as never);
    expect(result).toMatchObject({ name: 'abacus', ok: false });
    expect(result.reason).toMatch(/unknown backend 'abacus'/);
    const lines = diagnosisLines({ node: 'v1', platform: 'x', cpu: { model: 'c', cores: 1 }, memory: { total: 2, free: 1 }, webassembly: webAssemblyFeatures(), webgpu: { available: false, reason: 'none' }, cache: { path: '/c', bytes: 0, models: 0 }, backends: [result] });
    expect(lines.at(-1)).toMatch(/^ {2}abacus +not usable: unknown backend/);
  });
});

describe('inspect --memory', () => {
  const line = async (...args: string[]) => (await lamella('inspect', ...args)).out.split('\n').find((text) => /^(in \d|will not run)/.test(text));

  it('says beforehand what is held and what is streamed', async () => {
    expect(await line('qwen3-0.6b', '--memory', '8GB', '--context', '4096')).toMatch(/^in 8\.0\d? GB: all weights in memory \(/);
    expect(await line('qwen3-30b-a3b', '--memory', '8GB', '--weights', 'q4_0', '--context', '4096')).toMatch(/^in 8\.0\d? GB: [\d,]+ of 18,432 matrices of experts in memory at a time, .* 8\d\d\.\d MB of 17\.2 GB always in memory/);
    expect(await line('qwen3-8b', '--memory', '4GB', '--weights', 'q8_0', '--context', '4096')).toMatch(/the matrices of \d+ of 36 layers read from the disk for every token/);
    expect(await line('qwen3-8b', '--memory', '1GB', '--context', '512')).toMatch(/^will not run: the weights of Qwen\/Qwen3-8B take 16\.4 GB, .* the least that would do is [\d.]+ GB/);
  });

  it('of a checkpoint, as JSON', async () => {
    const { memory } = JSON.parse((await lamella('inspect', tinyModel(), '--memory', '1GB', '--json')).out) as { memory: { kind: string; held: number; weights: number } };
    expect(memory.kind).toBe('resident');
    expect(memory.held).toBe(memory.weights);
  });
});
