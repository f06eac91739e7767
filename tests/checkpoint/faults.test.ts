// What the disk may do to a model that is loaded or saved: a file is cut short or replaced while it is
// read, a source gives less than it was asked for, the disk is full, weights are NaN. Each gives one
// clear line, what was there before stays as it was, and another model works afterwards.

import { existsSync } from 'node:fs';
import { open, readdir, readFile, truncate } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { convertToGguf, openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { loadModel } from '../../src/index.js';
import type { LoadOptions } from '../../src/index.js';
import { bytesSource } from '../../src/platform/index.js';
import type { Directory } from '../../src/platform/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { lamella } from '../cli/helpers.js';
import { answer, copyOfSmall, expectAnotherModel, greedy, loadSmall, prompt, reason, small } from '../faults.js';
import { collect, folder } from './helpers.js';

const WEIGHTS = 'model.safetensors';
const load = (source: string | Directory, options: LoadOptions = {}) => loadModel(source, { backend: 'wasm', threads: 2, ...options });

beforeAll(() => buildWasm(cacheFolder));
afterEach(async () => {
  vi.restoreAllMocks();
  await expectAnotherModel();
});

/** Truncates a file when a third of it was read. */
function cutWhileLoading(file: string): LoadOptions {
  let cut: Promise<void> | undefined;
  return { onProgress: (p) => { if (p.phase === 'load' && p.loaded > p.total / 3) cut ??= truncate(file, 4096); } };
}

describe('a file is cut short while its weights are read', () => {
  it('safetensors', async () => {
    const path = await copyOfSmall(await folder());
    expect(await reason(load(path, cutWhileLoading(join(path, WEIGHTS))))).toMatch(/model\.safetensors ends at byte \d+, but had \d+ when it was opened; it was changed while being read$/);
  });

  it('GGUF', async () => {
    const checkpoint = await openCheckpoint(await resolveSource(small));
    const path = join(await folder({ 'm.gguf': await collect(convertToGguf(checkpoint, { format: 'f32' }).stream) }), 'm.gguf');
    await checkpoint.close();
    expect(await reason(load(path, cutWhileLoading(path)))).toMatch(/m\.gguf ends at byte \d+, but had \d+ when it was opened; it was changed while being read$/);
  });

  it('one of the command line, which says so and ends with 1', async () => {
    const path = await copyOfSmall(await folder(), (name, bytes) => (name === WEIGHTS ? bytes.subarray(0, bytes.length - 1000) : bytes));
    const { code, out, err } = await lamella('run', path, 'Hello');
    expect([code, out]).toEqual([1, '']);
    expect(err).toMatch(/^lamella: .*model\.safetensors: tensor ".*" ends at byte \d+ of the data, but the file has \d+; it is cut short or still downloading\n$/);
  });
});

describe('a source of the caller', () => {
  /** The small model's folder, from memory; `read` stands between the weights and who reads them. */
  async function directory(read: (bytes: Uint8Array, offset: number) => Uint8Array | Promise<Uint8Array>): Promise<Directory> {
    const files = new Map(await Promise.all(['config.json', WEIGHTS].map(async (name) => [name, new Uint8Array(await readFile(join(small, name)))] as const)));
    return {
      name: 'given', list: async () => [...files.keys()], close: async () => {},
      open: async (name) => {
        const bytes = files.get(name);
        const source = bytes && bytesSource(bytes, name);
        return source && (name === WEIGHTS ? { ...source, read: async (offset, length) => read(await source.read(offset, length), offset) } : source);
      },
    };
  }

  it('gives what it is asked for, and loads', async () => {
    const model = await load(await directory((bytes) => bytes));
    expect(await answer(model)).toEqual(greedy);
    await model.dispose();
  });

  it.each([['less than', (bytes: Uint8Array) => bytes.subarray(0, bytes.length - 3)], ['nothing where', () => new Uint8Array(0)], ['more than', (bytes: Uint8Array) => new Uint8Array(bytes.length + 4)]])('gives %s it is asked for', async (_, change) => {
    const source = await directory((bytes, offset) => (offset > 100_000 ? change(bytes) : bytes));
    expect(await reason(load(source))).toMatch(/^model\.safetensors: gave \d+ bytes of tensor "[\w.]+", asked for \d+$/);
  });

  it('fails', async () => {
    const source = await directory((bytes, offset) => (offset > 100_000 ? Promise.reject(new Error('the cable is out')) : bytes));
    expect(await reason(load(source))).toBe('the cable is out');
  });
});

// What the system itself says when it writes to a full disk.
describe.skipIf(!existsSync('/dev/full'))('the disk is full (needs /dev/full)', () => {
  /** Writes succeed until so many bytes are there; what is written then goes to a full device. */
  async function fillAfter(limit: number): Promise<void> {
    const full = await open('/dev/full', 'w');
    const prototype = Object.getPrototypeOf(full) as FileHandle;
    const original = prototype.writeFile;
    let written = 0;
    vi.spyOn(prototype, 'writeFile').mockImplementation(async function (this: FileHandle, data) {
      written += (data as Uint8Array).length;
      return original.call(written > limit ? full : this, data);
    });
  }
  const isFull = /model[\w.]*: the disk is full$/;

  it.each([0, 10_000, 300_000])('while a model is saved (%i bytes fit): the old one stays, no part of the new', async (limit) => {
    const [path, model] = [await folder({ 'config.json': 'old' }), await loadSmall()];
    await fillAfter(limit);
    expect(await reason(model.save(path))).toMatch(isFull);
    vi.restoreAllMocks();
    expect(await readdir(path)).toEqual(['config.json']);
    expect(await readFile(join(path, 'config.json'), 'utf8')).toBe('old');
    expect(await answer(model)).toEqual(greedy);
    await model.save(path);
    expect((await readdir(path)).sort()).toEqual(['config.json', 'generation_config.json', WEIGHTS].filter((name) => name !== 'generation_config.json' || existsSync(join(small, name))));
    await model.dispose();
  });

  it.each(['model.gguf', 'model'])('while %s is converted: one line, exit code 1, nothing left', async (name) => {
    const path = await folder();
    await fillAfter(100_000);
    const { code, out, err } = await lamella('convert', small, join(path, name), '--weights', 'f16');
    expect([code, out]).toEqual([1, '']);
    expect(err.trimEnd().split('\n').at(-1)).toMatch(/^lamella: .*: the disk is full$/);
    expect(await readdir(path)).toEqual([]);
  });
});

describe('weights are NaN', () => {
  it('the load warns, an answer says why there is none', async () => {
    const path = await copyOfSmall(await folder(), (name, bytes) => {
      if (name !== WEIGHTS) return bytes;
      const changed = Uint8Array.from(bytes);
      new Float32Array(changed.buffer, changed.length - 4096, 1024).fill(NaN);
      return changed;
    });
    const warnings: string[] = [];
    const model = await load(path, { onWarning: (message) => warnings.push(message) });
    expect(warnings.length).toBeGreaterThan(0);
    for (const warning of warnings) expect(warning).toMatch(/^tensor '[\w.]+' in .*model\.safetensors holds NaN or infinite numbers$/);
    expect(await reason(answer(model))).toBe('the model produced no finite logits; its weights may hold NaN or infinite numbers');
    expect((await model.logits(prompt)).data.some(Number.isNaN)).toBe(true);
    await model.dispose();
    expect(model.engine.device.liveBytes).toBe(0);
  });
});
