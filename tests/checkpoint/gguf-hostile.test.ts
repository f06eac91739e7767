// Models in GGUF with one field of the header changed, for every field, and cut at every field: each
// loads and computes, or is refused in one line; memory stays bounded; a sound file works afterwards.
// A case that hangs, crashes or rejects unheard fails the test by itself.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { convertToGguf, openCheckpoint, readGguf, resolveSource } from '../../src/checkpoint/index.js';
import { loadModel } from '../../src/index.js';
import { ggufTokenizerMetadata } from '../../src/tokenizer/index.js';
import { textFiles } from '../../src/tokenizer/source.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { expectAnotherModel, reason } from '../faults.js';
import { storyModel } from '../generate/story_model.js';
import { modelDirectory } from '../support.js';
import { random } from './gguf-files.js';
import { mutated, sitesOf } from './gguf-mutations.js';
import type { Site } from './gguf-mutations.js';
import { collect } from './helpers.js';

/** The most that one file may raise the process's peak: a header must not make us believe its counts. */
const MOST_BYTES = 200 * 2 ** 20;
const NAMES = ['a story model with a tokenizer', 'gpt2', 'gemma3', 'qwen3_moe', 'deepseek_v3'];
const files = new Map<string, Uint8Array>();
const rejected: unknown[] = [];
const hear = (error: unknown) => void rejected.push(error);

async function written(directory: string): Promise<Uint8Array> {
  const checkpoint = await openCheckpoint(await resolveSource(directory));
  try {
    const tokenizer = await ggufTokenizerMetadata(textFiles(checkpoint.directory), Number(checkpoint.config.vocab_size));
    return await collect(convertToGguf(checkpoint, { format: 'q8_0', tokenizer }).stream);
  } finally {
    await checkpoint.close();
  }
}

beforeAll(async () => {
  process.on('unhandledRejection', hear);
  await buildWasm(cacheFolder);
  for (const name of NAMES) files.set(name, await written(modelDirectory(name) ?? await storyModel()));
});
afterAll(async () => {
  process.off('unhandledRejection', hear);
  expect(rejected).toEqual([]);
  await expectAnotherModel();
});

/** Loads a file and uses all of it; undefined, or why not. */
async function outcome(bytes: Uint8Array): Promise<string | undefined> {
  const load = () => loadModel(new File([bytes as BlobPart], 'm.gguf'), { backend: 'wasm', threads: 1, onWarning: () => undefined });
  const peak = process.resourceUsage().maxRSS;
  let refusal: string | undefined;
  try {
    const model = await load();
    try {
      const ids = [1, 2, 0].map((id) => id % model.vocabularySize);
      await model.logits(ids);
      for await (const { text } of model.generate(ids, { maxTokens: 2, temperature: 0, ignoreEos: true })) expect(typeof text).toBe('string');
      model.tokenizer?.decode(model.tokenizer.encode('Once upon'));
    } finally {
      await model.dispose();
    }
  } catch (error) {
    refusal = await reason(Promise.reject(error));
    expect(refusal.length).toBeLessThan(600);
    // What JavaScript itself throws says nothing to the reader of a message.
    expect(['TypeError', 'SyntaxError', 'AssertionError']).not.toContain((error as Error).name);
  }
  expect((process.resourceUsage().maxRSS - peak) * 1024).toBeLessThan(MOST_BYTES);
  return refusal;
}

describe.each(NAMES)('%s', (name) => {
  const sites = (): Site[] => sitesOf(files.get(name)!);

  it('is sound as it is', async () => {
    expect(await outcome(files.get(name)!)).toBeUndefined();
    const { metadata, tensors } = await readGguf(files.get(name)!);
    const kinds = (kind: string) => sites().filter((site) => site.kind === kind).length;
    expect(kinds('offset')).toBe(tensors.size);
    expect(kinds('length')).toBeGreaterThan(metadata.size + tensors.size);
  });

  it('with any one field changed', async () => {
    const next = random(name.length);
    const outcomes = { sound: 0, refused: 0 };
    for (const site of sites()) {
      const { bytes, change } = mutated(files.get(name)!, site, next);
      const refusal = await outcome(bytes).catch((error: Error) => { throw new Error(`${change}: ${error.message}`, { cause: error }); });
      outcomes[refusal === undefined ? 'sound' : 'refused']++;
    }
    // Neither a test of nothing nor a loader that refuses everything.
    expect(outcomes.sound).toBeGreaterThan(10);
    expect(outcomes.refused).toBeGreaterThan(100);
  });

  it('cut before any field, and anywhere in its data', async () => {
    const file = files.get(name)!;
    const ends = [...sites().map(({ at }) => at), ...[0.1, 0.5, 0.9].map((part) => Math.floor(file.length * part)), file.length - 1];
    for (const end of ends) expect(await outcome(file.slice(0, end)), `${end} of ${file.length} bytes`).toMatch(/m\.gguf/);
  });
});
