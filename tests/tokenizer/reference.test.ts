/** Every tokenizer of the reference: ids, text, streamed text and chats, against transformers, tokenizers and tiktoken. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ChatMessage, Tokenizer } from '../../src/tokenizer/index.js';
import { assets, directory, hasAssets, load, realTokenizer, streamed, whySkipped } from './support.js';

interface Reference {
  cases: { text: string; ids: number[]; decoded: string }[];
  chat?: { messages: ChatMessage[]; text: string }[];
}

const references = JSON.parse(
  readFileSync(new URL('../data/tokenizers.json', import.meta.url), 'utf8'),
) as Record<string, Reference>;

it('has 13 tokenizers of 40 cases', () => {
  expect(Object.keys(references)).toHaveLength(13);
  for (const { cases } of Object.values(references)) expect(cases).toHaveLength(40);
});

describe.skipIf(!hasAssets).each(Object.entries(references))(`tokenizer %s${whySkipped}`, (name, { cases, chat = [] }) => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    tokenizer = await realTokenizer(name);
  }, 60_000);

  it.each(cases)('encodes and decodes $text', ({ text, ids, decoded }) => {
    expect(tokenizer.encode(text, { addSpecialTokens: false })).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
  });

  it('streams every case to the text that decode gives', () => {
    for (const { ids, decoded } of cases) {
      const pieces = streamed(tokenizer, ids);
      expect(pieces.join('')).toBe(decoded);
      // A piece never ends within a character: no replacement character that the whole text lacks.
      if (!decoded.includes('\uFFFD')) expect(pieces.join('|')).not.toContain('\uFFFD');
    }
  });

  it('streams any tail of ids, whole characters or not, to the text that decode gives', () => {
    for (const { ids } of cases) {
      for (let from = 1; from < ids.length; from += 3) {
        const tail = ids.slice(from, -1);
        expect(streamed(tokenizer, tail).join('')).toBe(tokenizer.decode(tail));
      }
    }
  });

  it('gives every id it produces a token and back', () => {
    for (const id of new Set(cases.flatMap(({ ids }) => ids))) {
      expect(id).toBeLessThan(tokenizer.vocabularySize);
      expect(tokenizer.tokenToId(tokenizer.idToToken(id)!)).toBe(id);
    }
  });

  it.each(chat.map((each, i) => ({ i, ...each })))('renders chat $i', ({ messages, text }) => {
    const now = new Date(2026, 10, 24);
    expect(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true, now })).toBe(text);
  });
});

describe.skipIf(!hasAssets).each(['stories15M', 'stories260K'])(`story model %s${whySkipped}`, (name) => {
  it('puts BOS before the prompt and leaves it out of the text', async () => {
    const stories = JSON.parse(readFileSync(join(assets, '../reference/stories.json'), 'utf8'));
    const tokenizer = await load(directory(join(assets, 'checkpoints', name)));
    for (const { prompt, ids, greedy, text } of stories[name]) {
      expect(tokenizer.encode(prompt)).toEqual(ids);
      expect(tokenizer.decode([...ids, ...greedy], { skipSpecialTokens: true })).toBe(text);
      expect(streamed(tokenizer, [...ids, ...greedy], true).join('')).toBe(text);
    }
  });
});
