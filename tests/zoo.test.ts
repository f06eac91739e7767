// The siblings that come with the package: each loads by name, tells the story it told when it was
// made, and what is no sibling is refused in one line.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { describe as describeModel } from '../src/analysis/index.js';
import { zooNames } from '../src/checkpoint/index.js';
import { loadModel } from '../src/index.js';
import { loadTokenizer } from '../src/tokenizer/index.js';
import { fakeIo, lamella, lamellaWith } from './cli/helpers.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
interface Sibling { readonly arch: string; readonly parameters: number; readonly active: number; readonly heldoutTokens: number; readonly nll: Record<string, number>; readonly quantisedNll: number; readonly told: string; readonly training: { tokens: number } }
const { siblings } = JSON.parse(readFileSync(join(root, 'zoo/results.json'), 'utf8')) as { siblings: Sibling[] };
/** What the nine designs of the survey come to with Qwen3 in both its forms. */
const ALL = ['deepseek_v3', 'gemma3', 'gpt2', 'kimi_k2', 'llama4', 'mistral', 'olmo2', 'qwen3', 'qwen3_moe', 'smollm3'];

it('holds the nine designs, Qwen3 in both forms, in 12 MB', async () => {
  expect(await zooNames()).toEqual(ALL.map((name) => `zoo:${name}`));
  expect(siblings.map(({ arch }) => arch).sort()).toEqual(ALL);
  const bytes = readdirSync(join(root, 'zoo')).reduce((sum, file) => sum + statSync(join(root, 'zoo', file)).size, 0);
  expect(bytes).toBeLessThanOrEqual(12e6);
});

describe.each(ALL)('zoo:%s', (name) => {
  const result = siblings.find(({ arch }) => arch === name)!;

  it('tells its story', async () => {
    const model = await loadModel(`zoo:${name}`, { backend: 'reference' });
    expect(model.name).toBe(`zoo:${name}`);
    let text = 'Once upon a time';
    for await (const piece of model.generate(text, { maxTokens: 24, temperature: 0 })) text += piece.text;
    await model.dispose();
    expect(text).toBe(result.told);
  });

  it('is what results.json says, and was trained on as much as the others', async () => {
    const { parameters } = await describeModel(`zoo:${name}`);
    expect([parameters.total, parameters.active]).toEqual([result.parameters, result.active]);
    expect(result.training.tokens).toBe(siblings[0].training.tokens);
    expect(result.heldoutTokens).toBe(siblings[0].heldoutTokens);
    // Quantising costs something, and not much.
    const best = Math.min(...Object.values(result.nll));
    expect(result.quantisedNll).toBeGreaterThan(best - 0.02);
    expect(result.quantisedNll).toBeLessThan(best + 0.2);
  });
});

it('shares one tokenizer, which begins every text behind the mark', async () => {
  const [first, ...others] = await Promise.all(ALL.map((name) => loadTokenizer(`zoo:${name}`)));
  const text = 'Lily said, "It\'s 3 o\'clock!"\nThe  dog naïvely barked. 🐕';
  expect(first.vocabularySize).toBe(2048);
  expect(first.encode(text)[0]).toBe(first.tokenToId('<|endoftext|>'));
  expect(first.decode(first.encode(text), { skipSpecialTokens: true })).toBe(text);
  for (const other of others) expect(other.encode(text)).toEqual(first.encode(text));
});

describe('names that are no sibling', () => {
  const hostile = ['zoo:', 'zoo:lion', 'zoo:../package.json', 'zoo:../zoo/gpt2', 'zoo:gpt2.gguf', 'zoo:/etc/passwd', 'zoo:GPT2\u0000', 'zoo:constructor', 'zoo:results.json'];
  it.each(hostile)('%j is refused in one line', async (name) => {
    await expect(loadModel(name)).rejects.toThrow(/^the zoo has no .*: there are zoo:deepseek_v3, .*zoo:smollm3$/);
    for (const command of [['run', name, 'Once'], ['inspect', name], ['story', '--model', name]]) {
      const { code, out, err } = await lamella(...command);
      expect([code, out]).toEqual([1, '']);
      expect(err).toMatch(/^lamella: .*\n$/);
    }
  });
});

describe('lamella story', () => {
  it('writes the story alone to standard output, the same for the same seed', async () => {
    const [once, again] = [await lamella('story', '--seed', '3'), await lamella('story', '--seed', '3')];
    expect(once.code, once.err).toBe(0);
    expect(once.out).toMatch(/^Once upon a time[^<]+\n$/);
    expect(again.out).toBe(once.out);
    expect((await lamella('story', '--seed', '4')).out).not.toBe(once.out);
    expect(once.err).toMatch(/^zoo:\w+, a model of 1\.\d+M parameters with the design of \w+, tells:\n\n\n\d+ tokens, \d+ per second; seed 3\. Next:\n/);
  });

  it('begins as it is told, with the sibling it is told, in JSON', async () => {
    const { code, out, err } = await lamella('story', 'The little dragon', '--model', 'zoo:gpt2', '--seed', '1', '--json');
    expect([code, err]).toEqual([0, '']);
    const story = JSON.parse(out) as { model: string; family: string; parameters: number; text: string; tokens: number; finishReason: string };
    expect(story).toMatchObject({ model: 'zoo:gpt2', family: 'gpt2', seed: 1 });
    expect(story.text).toMatch(/^The little dragon/);
    expect(story.tokens).toBeGreaterThan(10);
    expect(['stop', 'length']).toContain(story.finishReason);
  });

  it('ends at Ctrl-C', async () => {
    const io = fakeIo();
    const ran = lamellaWith(io, 'story', '--seed', '3');
    await io.saw('Once upon a time');
    io.interrupt();
    expect((await ran).code).toBe(130);
  });
});

it('is part of the package', () => {
  const { files } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { files: string[] };
  expect(files).toContain('zoo');
  expect(existsSync(join(root, 'zoo/qwen3.gguf'))).toBe(true);
});
