import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, toFloat32 } from '../../src/checkpoint/index.js';
import { blobDirectory, platform } from '../../src/platform/index.js';
import type { ByteSource, Directory } from '../../src/platform/index.js';
import { expectRefusal, folder, hasReferenceModels, rawFile, referenceModels, vectors } from './helpers.js';

const config = JSON.stringify({ model_type: 'tiny', layers: 2 });
const index = (weightMap: unknown): string => JSON.stringify({ metadata: { total_size: 12 }, weight_map: weightMap });

function inMemory(files: Record<string, string | Uint8Array>): Directory {
  return blobDirectory(Object.entries(files).map(([name, content]) => new File([content as BlobPart], name)), 'tiny');
}

/** The directory, with a count of how often each file is opened and how many are open. */
function watched(directory: Directory) {
  const opened = new Map<string, number>();
  const reads: string[] = [];
  let open = 0;
  const watching: Directory = {
    ...directory,
    async open(name) {
      const source = await directory.open(name);
      if (!source) return undefined;
      opened.set(name, (opened.get(name) ?? 0) + 1);
      open++;
      return {
        ...source,
        read: (offset, length) => (reads.push(`${name}@${offset}`), source.read(offset, length)),
        close: async () => (open--, source.close()),
      } satisfies ByteSource;
    },
  };
  return { directory: watching, opened, reads, openFiles: () => open };
}

describe('openCheckpoint', () => {
  it('opens one file with its configs', async () => {
    const checkpoint = await openCheckpoint(inMemory({
      'config.json': config,
      'generation_config.json': '{"temperature": 0.6}',
      'model.safetensors': vectors({ a: 2 }),
      'consolidated.safetensors': 'never looked at',
    }));
    expect(checkpoint.name).toBe('tiny');
    expect(checkpoint.config).toEqual({ model_type: 'tiny', layers: 2 });
    expect(checkpoint.generationConfig).toEqual({ temperature: 0.6 });
    expect(toFloat32('F32', await checkpoint.tensors.get('a')!.read())).toEqual(Float32Array.of(1, 2));
    await checkpoint.close();
  });

  it('opens shards through their index, reads nothing twice and closes everything', async () => {
    const { directory, opened, reads, openFiles } = watched(inMemory({
      'config.json': config,
      'model.safetensors.index.json': index({ a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' }),
      'model-00001-of-00002.safetensors': vectors({ a: 1 }),
      'model-00002-of-00002.safetensors': vectors({ b: 2, unlisted: 1 }),
      'consolidated.safetensors': 'never looked at',
    }));
    const checkpoint = await openCheckpoint(directory);
    expect([...checkpoint.tensors.keys()]).toEqual(['a', 'b', 'unlisted']);
    expect(checkpoint.tensors.get('b')!.file).toBe('model-00002-of-00002.safetensors');
    expect(checkpoint.generationConfig).toBeUndefined();
    expect(Math.max(...opened.values())).toBe(1);
    expect(new Set(reads).size).toBe(reads.length);
    await checkpoint.tensors.get('b')!.read();
    await checkpoint.close();
    expect(openFiles()).toBe(0);
  });

  it('takes the only other safetensors file, or the only other index', async () => {
    const single = await openCheckpoint(inMemory({ 'config.json': config, 'weights.safetensors': vectors({ a: 1 }) }));
    expect(single.tensors.has('a')).toBe(true);
    const sharded = await openCheckpoint(inMemory({
      'config.json': config,
      'x.safetensors.index.json': index({ a: 'one.safetensors', b: 'two.safetensors' }),
      'one.safetensors': vectors({ a: 1 }),
      'two.safetensors': vectors({ b: 1 }),
    }));
    expect(sharded.tensors.size).toBe(2);
  });

  const refused: [string, Record<string, string | Uint8Array>, RegExp | string][] = [
    ['no config', { 'model.safetensors': vectors({ a: 1 }) }, 'tiny has no config.json'],
    ['a config that is not JSON', { 'config.json': '{' }, 'config.json is not valid JSON'],
    ['a config that is a list', { 'config.json': '[]' }, 'config.json is not a JSON object'],
    ['a config of many megabytes', { 'config.json': new Uint8Array(17 * 2 ** 20) }, 'config.json has 17825792 bytes'],
    ['a broken generation config', { 'config.json': config, 'generation_config.json': 'x' }, 'generation_config.json is not valid JSON'],
    ['no weights', { 'config.json': config, 'pytorch_model.bin': '' }, /no model\.safetensors.*pytorch_model\.bin, which Lamella does not read/],
    ['several candidates', { 'config.json': config, 'a.safetensors': '', 'b.safetensors': '' }, 'several safetensors files (a.safetensors, b.safetensors)'],
    ['shards without an index', { 'config.json': config, 'model-00001-of-00002.safetensors': '' }, 'no model.safetensors.index.json'],
    ['damaged weights', { 'config.json': config, 'model.safetensors': rawFile('nonsense') }, 'model.safetensors is not a safetensors file'],
    ['an index without weight_map', { 'config.json': config, 'model.safetensors.index.json': '{}' }, 'no weight_map'],
    ['an empty index', { 'config.json': config, 'model.safetensors.index.json': index({}) }, 'empty weight_map'],
    ['an index that leads out of the directory', { 'config.json': config, 'model.safetensors.index.json': index({ a: '../x.safetensors' }) }, '"../x.safetensors"'],
    ['an index with a number for a file', { 'config.json': config, 'model.safetensors.index.json': index({ a: 1 }) }, 'places tensor "a" in 1'],
    ['a missing shard', { 'config.json': config, 'model.safetensors.index.json': index({ a: 'one.safetensors' }) }, 'no one.safetensors, which model.safetensors.index.json names'],
    [
      'a tensor absent from its shard',
      { 'config.json': config, 'model.safetensors.index.json': index({ a: 'one.safetensors', b: 'one.safetensors' }), 'one.safetensors': vectors({ a: 1 }) },
      'places tensor "b" in one.safetensors, which does not have it',
    ],
    [
      'a tensor in two shards',
      {
        'config.json': config,
        'model.safetensors.index.json': index({ a: 'one.safetensors', b: 'two.safetensors' }),
        'one.safetensors': vectors({ a: 1 }),
        'two.safetensors': vectors({ a: 1, b: 1 }),
      },
      'tensor "a" is in two shards, one.safetensors and two.safetensors',
    ],
  ];
  it.each(refused)('refuses %s and closes what it opened', async (_, files, message) => {
    const { directory, openFiles } = watched(inMemory(files));
    await expectRefusal(openCheckpoint(directory), message);
    expect(openFiles()).toBe(0);
  });

  it('stops when aborted', async () => {
    const directory = inMemory({ 'config.json': config, 'model.safetensors.index.json': index({ a: 'one.safetensors' }), 'one.safetensors': vectors({ a: 1 }) });
    await expect(openCheckpoint(directory, { signal: AbortSignal.abort() })).rejects.toThrow(/abort/i);
  });

  it('opens a local directory', async () => {
    const path = await folder({ 'config.json': config, 'model.safetensors': vectors({ a: 1 }) });
    const { files } = await platform();
    const checkpoint = await openCheckpoint(await files!.openDirectory(path));
    expect(checkpoint.name).toBe(path);
    expect(checkpoint.tensors.get('a')!.file).toBe(join(path, 'model.safetensors'));
    await checkpoint.close();
  });
});

describe.skipIf(!hasReferenceModels)('reference models (../shared/reference)', () => {
  it.each(['gpt2', 'deepseek_v3_fp8', 'gemma3_multimodal', 'llama4_multimodal', 'mistral3_multimodal'])('opens %s', async (model) => {
    const { files } = await platform();
    const checkpoint = await openCheckpoint(await files!.openDirectory(join(referenceModels, model)));
    expect(checkpoint.config.model_type).toBeTypeOf('string');
    expect(checkpoint.tensors.size).toBeGreaterThan(20);
    if (model.endsWith('multimodal')) {
      expect(new Set([...checkpoint.tensors.values()].map((tensor) => tensor.file)).size).toBe(3);
      expect(checkpoint.generationConfig).toBeDefined();
    }
    await checkpoint.close();
  });
});
