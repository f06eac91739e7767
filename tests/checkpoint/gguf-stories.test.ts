// A trained model through GGUF: converted with its tokenizer, loaded by path, it tells the same story.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { convertToGguf, openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import type { GgufFormat } from '../../src/checkpoint/index.js';
import { loadModel } from '../../src/index.js';
import { ggufTokenizerMetadata } from '../../src/tokenizer/index.js';
import { textFiles } from '../../src/tokenizer/source.js';
import { hasShared, shared } from '../support.js';
import { collect, folder } from './helpers.js';

interface Story { prompt: string; ids: number[]; greedy: number[]; text: string }

async function converted(name: string, format: GgufFormat): Promise<string> {
  const checkpoint = await openCheckpoint(await resolveSource(join(shared, 'assets/checkpoints', name)));
  const rows = checkpoint.config.vocab_size as number;
  const tokenizer = await ggufTokenizerMetadata(textFiles(checkpoint.directory), rows);
  const path = join(await folder(), `${name}.gguf`);
  await writeFile(path, await collect(convertToGguf(checkpoint, { format, tokenizer }).stream));
  await checkpoint.close();
  return path;
}

describe.skipIf(!hasShared)('a story model in GGUF (needs ../shared)', () => {
  it.each<[string, GgufFormat, number]>([
    ['stories15M', 'f32', 96], ['stories15M', 'f16', 96], ['stories15M', 'bf16', 96], ['stories15M', 'q8_0', 32], ['stories260K', 'f32', 96],
  ])('%s in %s tells the reference story', async (name, format, tokens) => {
    const [story] = JSON.parse(readFileSync(join(shared, 'reference/stories.json'), 'utf8'))[name] as Story[];
    const model = await loadModel(await converted(name, format), { backend: 'reference' });
    expect(model.encode(story.prompt)).toEqual(story.ids);
    const told: number[] = [];
    for await (const { token } of model.generate(story.prompt, { maxTokens: tokens })) told.push(token);
    expect(told).toEqual(story.greedy.slice(0, tokens));
    await model.dispose();
  }, 240_000);
});
