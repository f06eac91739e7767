// The BPE trainer: most frequent pairs first, the lowest ids among equals, words never joined; its file
// reads back and covers every text.

import { expect, it } from 'vitest';
import { BpeTrainer, vocabularyFromJson } from '../../src/tokenizer/index.js';

function trained(size: number, ...texts: string[]) {
  const trainer = new BpeTrainer();
  for (const text of texts) trainer.add(text);
  return trainer.tokenizerJson(size) as { model: { vocab: Record<string, number>; merges: [string, string][] } };
}

it('merges the most frequent pair, then goes on with what that made', () => {
  const { model } = trained(260, 'hug hug hug pug pun bun');
  // "ug" four times (" hug" twice with its space, "hug" and " pug"), then "hug" three times, then "un" and " h" twice each.
  expect(model.merges.slice(0, 2)).toEqual([['u', 'g'], ['h', 'ug']]);
  expect(Object.keys(model.vocab).length).toBe(260);
});

it('stops where no pair occurs twice', () => {
  expect(trained(1000, 'abc').model.merges).toEqual([]);
});

it('gives the same file for the same texts, and one that reads back', () => {
  const texts = ['Once upon a time there was a cat.', "It's 3 o'clock, said the cat. 日本"];
  const json = trained(300, ...texts);
  expect(json).toEqual(trained(300, ...texts));
  const vocabulary = vocabularyFromJson(json as never, []);
  for (const text of [...texts, 'éèü 🙂\n\n  x']) {
    const stream = vocabulary.stream(new Set());
    expect(vocabulary.encode(text).map((id) => stream.push(id)).join('') + stream.end()).toBe(text);
  }
  expect(vocabulary.encode(' cat').length).toBeLessThan(4);
});

it('refuses a size without room for the bytes', () => expect(() => trained(100, 'a')).toThrow('at least 257 tokens'));
