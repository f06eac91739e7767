// `lamella eval`: figures that hold against sums done by hand, another format or model as the
// reference, and refusal where distributions would not compare.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { logProbability } from '../../src/generate/index.js';
import { loadModel } from '../../src/index.js';
import { storyModel } from '../generate/story_model.js';
import { hasShared, shared } from '../support.js';
import { fakeIo, lamella, lamellaWith, tinyModel } from './helpers.js';
import { temporaryFolder } from '../temporary.js';

const evaluation = (...argv: string[]) => lamella('eval', ...argv, '--backend', 'reference');

interface Figures { tokens: number; meanNll: number; perplexity: number; klDivergence?: number; sameTopToken?: number; context: number; against?: object }
async function figures(...argv: string[]): Promise<Figures> {
  const { code, out, err } = await evaluation(...argv, '--json');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return JSON.parse(out) as Figures;
}

function textFile(text: string | Uint8Array): string {
  const path = join(temporaryFolder(), 'text.txt');
  writeFileSync(path, text);
  return path;
}

const fable = textFile('The fox looked up at the grapes and said that they were sour.');

describe('the figures', () => {
  it('are those of the logits, window by window', async () => {
    const folder = await storyModel();
    const model = await loadModel(folder, { backend: 'reference' });
    const ids = model.encode(readFileSync(fable, 'utf8'));
    let nll = 0;
    for (let start = 0; start + 1 < ids.length; start += 20) {
      const part = ids.slice(start, start + 21);
      const { data, shape: [, vocabulary] } = await model.logits(part.slice(0, -1));
      part.slice(1).forEach((id, row) => { nll -= logProbability(data.subarray(row * vocabulary, (row + 1) * vocabulary), id); });
    }
    await model.dispose();
    const { tokens, meanNll, perplexity, context } = await figures(folder, '--data', fable, '--context', '20');
    expect({ tokens, context }).toEqual({ tokens: ids.length - 1, context: 20 });
    expect(meanNll).toBeCloseTo(nll / tokens, 5);
    expect(perplexity).toBeCloseTo(Math.exp(meanNll), 6);
  });

  it('take windows of the whole context by default, and no more tokens than wanted', async () => {
    const model = await storyModel();
    const long = textFile(readFileSync(fable, 'utf8').repeat(400));
    const few = await figures(model, '--data', long, '--max-tokens', '150');
    expect(few).toMatchObject({ tokens: 150, context: 128 });
    // Only the beginning of the text is encoded: the ids are those of the whole.
    const start = textFile(readFileSync(long, 'utf8').slice(0, 151));
    expect((await figures(model, '--data', start)).meanNll).toBe(few.meanNll);
  });

  it('are said in lines too', async () => {
    const { code, out, err } = await evaluation(await storyModel(), '--data', fable, '--weights', 'q8_0', '--against', 'f32');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/in q8_0\n {2}tokens +60 in windows of 128\n {2}perplexity +[\d.]+\n {2}mean NLL +[\d.]+ nats\n {2}KL divergence +[\d.e-]+ nats from .* in f32\n {2}same top token +[\d.]+ %\n$/);
  });
});

describe('--against', () => {
  it('a format is the same checkpoint in it', async () => {
    const model = await storyModel();
    expect(await figures(model, '--data', fable, '--against', 'f32')).toMatchObject({ klDivergence: 0, sameTopToken: 1, against: { model, weights: 'f32' } });
    const { klDivergence, sameTopToken } = await figures(model, '--data', fable, '--weights', 'q8_0', '--against', 'f32');
    expect(klDivergence).toBeGreaterThan(1e-8);
    expect(klDivergence).toBeLessThan(1e-3);
    expect(sameTopToken).toBeGreaterThan(0.8);
  });

  it('a model is that model, whatever its file format', async () => {
    const [model, file] = [await storyModel(), join(temporaryFolder(), 'q4.gguf')];
    await lamella('convert', model, file, '--weights', 'q4_0');
    const { klDivergence } = await figures(file, '--data', fable, '--against', model);
    expect(klDivergence).toBeGreaterThan((await figures(model, '--data', fable, '--weights', 'q8_0', '--against', 'f32')).klDivergence!);
  });

  it('refuses a model with another vocabulary, of another size or with other ids', async () => {
    const [model, other] = [tinyModel(), tinyModel()];
    const sizes = await evaluation(model, '--data', fable, '--against', await storyModel());
    expect(sizes).toMatchObject({ code: 1, out: '' });
    expect(sizes.err).toMatch(/has 257 tokens and .* 260: --against needs a model with the same vocabulary/);
    const json = JSON.parse(readFileSync(join(other, 'tokenizer.json'), 'utf8')) as { model: { vocab: Record<string, number> } };
    const { vocab } = json.model;
    [vocab.h, vocab.x] = [vocab.x, vocab.h];
    writeFileSync(join(other, 'tokenizer.json'), JSON.stringify(json));
    expect((await evaluation(model, '--data', fable, '--against', other)).err).toMatch(/encode the text differently, from token 1 on/);
  });
});

describe('bad input gives one clear line:', () => {
  it.each([
    ['no file', () => './absent.txt', /--data \.\/absent\.txt: there is no such file/],
    ['a directory', () => temporaryFolder(), /: it is a directory/],
    ['bytes that are no text', () => textFile(Uint8Array.of(0xff, 0xfe, 0)), /is not text in UTF-8/],
    ['a text of one token', () => textFile('x'), /at least two tokens/],
  ])('%s', async (_, data, message) => {
    const { code, out, err } = await evaluation(tinyModel(), '--data', data());
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(message);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
  });

  it('no tokenizer, and weights that are not numbers', async () => {
    expect((await evaluation(tinyModel({ tokenizer: false }), '--data', fable)).err).toMatch(/has no tokenizer, which a text needs/);
    const broken = await evaluation(tinyModel({ value: () => NaN }), '--data', fable);
    expect(broken.code).toBe(1);
    expect(broken.err).toMatch(/no finite logits/);
  });

  it('wrong usage', async () => {
    expect(await lamella('eval', 'x')).toMatchObject({ code: 2, err: expect.stringMatching(/required option '--data <file>' not specified/) as string });
    expect(await lamella('eval', 'x', '--data', 'y', '--max-tokens', '0')).toMatchObject({ code: 2 });
  });
});

it('ends with 130 at Ctrl-C', async () => {
  const io = fakeIo();
  const long = textFile(readFileSync(fable, 'utf8').repeat(200));
  const running = lamellaWith(io, 'eval', await storyModel(), '--data', long, '--backend', 'reference');
  await new Promise((resolve) => { setTimeout(resolve, 60); });
  io.interrupt();
  expect(await running).toEqual({ code: 130, out: '', err: '' });
});

it('is explained by its help', async () => {
  const { out } = await lamella('eval', '--help');
  for (const flag of ['data', 'against', 'context', 'max-tokens', 'weights', 'backend', 'threads', 'revision', 'json']) expect(out).toContain(`--${flag}`);
  expect(out).toMatch(/^Examples:\n {2}\$ lamella eval/m);
});

describe.skipIf(!hasShared)(`a story model${hasShared ? '' : ' (needs ../shared)'}`, () => {
  it('knows its stories, and better than another text', async () => {
    const model = join(shared, 'assets/checkpoints/stories260K');
    const flags = ['--max-tokens', '400'];
    const known = await figures(model, '--data', join(shared, 'assets/text/tinystories-5mb.txt'), ...flags);
    const other = await figures(model, '--data', join(shared, 'assets/text/childrens-books.txt'), ...flags);
    expect(known.perplexity).toBeLessThan(8);
    expect(other.perplexity).toBeGreaterThan(2 * known.perplexity);
  });
});
