// Launches for other engines: every flag is one that the engine defines, sizes divide what they
// cut, the manifest is YAML that means what it should, and what cannot be launched is refused.

import { describe, expect, it } from 'vitest';
import { engineFacts, plan } from '../../src/analysis/index.js';
import type { EngineName, PlanOptions } from '../../src/analysis/index.js';
import { resourceName } from '../../src/analysis/plan/kubernetes.js';
import { openProfile } from '../../src/analysis/plan/plan.js';

const launched = async (model: string, engine: EngineName, options: Omit<PlanOptions, 'models' | 'engine'>) => {
  const { entries, launch } = await plan({ ...options, models: [model], engine });
  return { layout: entries[0].layout!, ...launch! };
};

const cases: [model: string, options: Omit<PlanOptions, 'models' | 'engine'>][] = [
  ['deepseek-v3', { hardware: 'h200', devices: 8, weights: 'fp8' }],
  ['deepseek-v3', { hardware: 'h100', devices: 16, weights: 'fp8' }],
  ['deepseek-v3', { hardware: 'h200', devices: 16, weights: 'fp8', kv: 'fp8' }],
  ['kimi-k2', { hardware: 'h100', devices: 16, weights: 'fp8' }],
  ['kimi-k2', { hardware: 'h200', devices: 16, weights: 'fp8' }],
  ['qwen3-235b-a22b', { hardware: 'h100', devices: 4, weights: 'fp8' }],
  ['qwen3-235b-a22b', { hardware: 'h200', devices: 4, weights: 'bf16', context: 32768 }],
  ['llama-4-scout', { hardware: 'h200', devices: 1, weights: 'fp8' }],
  ['qwen3-8b', { hardware: 'h100', devices: 8, purpose: 'throughput', batch: 64 }],
  ['gpt2', { hardware: 't4', weights: 'f32', kv: 'f32', context: 1024 }],
];
const all = cases.flatMap(([model, options]) => (['vllm', 'sglang'] as const).map((engine) => [model, engine, options] as const));

/** Flags of a command and their values. */
function flagsOf(command: string): Map<string, string | undefined> {
  const words = command.split(' ');
  return new Map(words.flatMap((word, i) => (word.startsWith('--') ? [[word, words[i + 1]?.startsWith('--') ? undefined : words[i + 1]] as const] : [])));
}

describe.each(all)('%s in %s %j', (model, engine, options) => {
  it('uses flags that the engine defines, with values that they take', async () => {
    const { commands, layout } = await launched(model, engine, options);
    const known: Readonly<Record<string, readonly string[] | null>> = engineFacts[engine].flags;
    expect(commands.length).toBe(layout.nodes);
    for (const command of commands) for (const [flag, value] of flagsOf(command)) {
      expect(known, flag).toHaveProperty([flag]);
      if (known[flag]) expect(known[flag], flag).toContain(value);
    }
  });

  it('cuts what can be cut, over all devices', async () => {
    const { commands } = await launched(model, engine, options);
    const flags = flagsOf(commands[0]);
    const size = (vllm: string, sglang: string) => Number(flags.get(engine === 'vllm' ? vllm : sglang) ?? 1);
    const [tp, pp, dp] = [size('--tensor-parallel-size', '--tp-size'), size('--pipeline-parallel-size', '--pp-size'), size('--data-parallel-size', '--dp-size')];
    expect(tp * pp * dp).toBe(options.devices ?? 1);
    const { layers } = await openProfile(model);
    for (const { heads, kvHeads, latent, mlp } of layers) {
      expect(heads % tp).toBe(0);
      if (!latent) expect(kvHeads % tp === 0 || tp % kvHeads === 0).toBe(true);
      if (mlp?.kind === 'moe') expect((flags.has('--enable-expert-parallel') || flags.has('--ep-size') ? mlp.experts : mlp.hidden) % tp).toBe(0);
    }
    expect(pp).toBeLessThanOrEqual(layers.length);
    if (flags.has('--ep-size')) expect(tp % Number(flags.get('--ep-size'))).toBe(0);
  });

  it('has a manifest with GPUs, shared memory, probes and a service', async () => {
    const { manifest, layout, commands } = await launched(model, engine, options);
    const [workload, service] = manifest.split('---\n').map((text) => parse(text) as Tree);
    const several = layout.nodes > 1;
    expect(workload).toMatchObject({ kind: several ? 'LeaderWorkerSet' : 'Deployment', metadata: { name: expect.stringMatching(/^[a-z][a-z0-9-]{0,62}$/) as string } });
    const group = several ? (workload.spec as Tree).leaderWorkerTemplate as Tree : undefined;
    const templates = (group ? [group.leaderTemplate, group.workerTemplate] : [(workload.spec as Tree).template]) as Tree[];
    if (group) expect(group.size).toBe(String(layout.nodes));
    for (const { spec } of templates as { spec: Tree }[]) {
      const [container] = spec.containers as Tree[];
      expect((container.resources as Tree).limits).toEqual({ 'nvidia.com/gpu': String(layout.devices / layout.nodes) });
      expect(container.volumeMounts).toContainEqual({ name: 'shared-memory', mountPath: '/dev/shm' });
      expect(spec.volumes).toContainEqual({ name: 'shared-memory', emptyDir: { medium: 'Memory', sizeLimit: '32Gi' } });
      expect((container.command as string[])[2]).toMatch(several ? /LWS_WORKER_INDEX.*LWS_LEADER_ADDRESS/ : new RegExp(commands[0].replace(/[$.()/]/g, '\\$&')));
    }
    const serving = (templates[0].spec as Tree).containers as Tree[];
    const port = engine === 'vllm' ? '8000' : '30000';
    for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe']) expect(serving[0][probe]).toMatchObject({ httpGet: { path: '/health', port } });
    const labels = (templates[0].metadata as Tree).labels;
    expect(labels).toMatchObject((service.spec as Tree).selector as Tree);
    expect(service).toMatchObject({ kind: 'Service', spec: { ports: [{ port: '80', targetPort: port }] } });
  });
});

describe('a launch', () => {
  it('says FP8 only where the release does not, and trusts code only where it must', async () => {
    const flags = async (...args: Parameters<typeof launched>) => flagsOf((await launched(...args)).commands[0]);
    const deepseek = await flags('deepseek-v3', 'vllm', { hardware: 'h200', devices: 8, weights: 'fp8' });
    expect([deepseek.has('--quantization'), deepseek.has('--dtype'), deepseek.has('--trust-remote-code')]).toEqual([false, false, false]);
    expect((await flags('kimi-k2', 'vllm', { hardware: 'h200', devices: 16, weights: 'fp8' })).has('--trust-remote-code')).toBe(true);
    expect((await flags('qwen3-235b-a22b', 'vllm', { hardware: 'h100', devices: 4, weights: 'fp8' })).get('--quantization')).toBe('fp8');
    expect((await flags('qwen3-8b', 'sglang', { hardware: 'h100', kv: 'fp8' })).get('--kv-cache-dtype')).toBe('fp8_e4m3');
  });

  it('gives each machine its rank, and workers of vLLM no server', async () => {
    const { commands, notes } = await launched('kimi-k2', 'vllm', { hardware: 'h200', devices: 16, weights: 'fp8' });
    expect(commands.map((command) => flagsOf(command).get('--node-rank'))).toEqual(['0', '1']);
    expect(commands.map((command) => command.includes('--headless'))).toEqual([false, true]);
    expect(notes[0]).toMatch(/LEADER is the address of the first of 2 machines/);
  });

  it('warns where quantising while loading would not fit', async () => {
    const { notes } = await launched('llama-4-scout', 'sglang', { hardware: 'h200', weights: 'fp8' });
    expect(notes.join()).toMatch(/216 GB a device: start an FP8 release of it/);
  });

  it.each<[string, string, Omit<PlanOptions, 'models'>, RegExp]>([
    ['what does not fit', 'deepseek-v3', { hardware: 'h100', devices: 8, weights: 'fp8', engine: 'vllm' }, /^there is no launch for deepseek-ai\/DeepSeek-V3: its weights take/],
    ['GGUF formats', 'qwen3-8b', { hardware: 'h100', weights: 'q4_0', engine: 'vllm' }, /^vllm does not quantise a release to q4_0/],
    ['an FP8 release in bf16', 'deepseek-v3', { hardware: 'h200', devices: 16, weights: 'bf16', engine: 'sglang' }, /is published in FP8, and sglang serves it so/],
    ['a q8_0 cache', 'qwen3-8b', { hardware: 'h100', kv: 'q8_0', engine: 'sglang' }, /^sglang keeps no q8_0 cache/],
    ['a Mac', 'qwen3-8b', { hardware: 'mac-m4-max-128gb', engine: 'vllm' }, /launches are written for GPUs; mac-m4-max-128gb is a mac/],
    ['another engine', 'qwen3-8b', { hardware: 'h100', engine: 'ollama' as EngineName }, /^engine must be vllm or sglang, got 'ollama'/],
  ])('refuses %s in one line', async (_, model, options, message) => {
    const error = await plan({ ...options, models: [model] }).then(() => undefined, (reason: unknown) => reason as Error);
    expect(error?.message).toMatch(message);
    expect(error?.message).not.toContain('\n');
  });

  it('names resources as Kubernetes allows', () => {
    expect(resourceName('google/gemma-3-27b-it')).toBe('gemma-3-27b-it');
    expect(resourceName('owner/3_Odd.Name--')).toBe('odd-name');
    expect(resourceName('owner/...')).toBe('model');
    expect(resourceName('x'.repeat(200)).length).toBeLessThan(64);
  });
});

type Tree = Record<string, unknown>;

/** The part of YAML that manifests here use: nested mappings, lists, plain and double-quoted scalars. Anything else throws. */
function parse(text: string): unknown {
  const lines = text.split('\n').filter((line) => line.trim() !== '').map((line) => ({ depth: line.length - line.trimStart().length, text: line.trim() }));
  let at = 0;
  const scalar = (value: string): unknown => (value.startsWith('"') ? JSON.parse(value) as unknown : value === '{}' ? {} : value);
  const block = (depth: number): unknown => (lines[at].text.startsWith('- ') ? list(depth) : mapping(depth));
  const list = (depth: number): unknown[] => {
    const items: unknown[] = [];
    while (at < lines.length && lines[at].depth === depth && lines[at].text.startsWith('- ')) {
      const rest = lines[at].text.slice(2);
      if (!/^[^"\s]+:( |$)/.test(rest)) { items.push(scalar(rest)); at++; continue; }
      lines[at] = { depth: depth + 2, text: rest };
      items.push(mapping(depth + 2));
    }
    return items;
  };
  const mapping = (depth: number): Record<string, unknown> => {
    const found: Record<string, unknown> = {};
    while (at < lines.length && lines[at].depth === depth && !lines[at].text.startsWith('- ')) {
      const [, key, value] = /^([\w./-]+):(?: (.+))?$/.exec(lines[at].text) ?? [];
      if (key === undefined || key in found) throw new Error(`not YAML: ${lines[at].text}`);
      at++;
      if (value !== undefined) { found[key] = scalar(value); continue; }
      if (at >= lines.length || lines[at].depth <= depth) throw new Error(`nothing under ${key}`);
      found[key] = block(lines[at].depth);
    }
    if (at < lines.length && lines[at].depth > depth) throw new Error(`odd indentation: ${lines[at].text}`);
    return found;
  };
  const result = block(0);
  if (at < lines.length) throw new Error(`odd indentation: ${lines[at].text}`);
  return result;
}
