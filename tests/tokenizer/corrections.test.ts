/**
 * Where @huggingface/tokenizers 0.2.0 differs from the reference. The expected ids and texts were made
 * with the `tokenizers` crate 0.23.2 from the same content; `library` is what the library alone gives,
 * so that a correction which is no longer needed shows here.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { describe, expect, it } from 'vitest';
import { correctTokenizerJson } from '../../src/tokenizer/corrections.js';
import { textToAlphabet } from '../../src/tokenizer/byte_level.js';
import { load, memory } from './support.js';

/** A tokenizer.json of a BPE model whose tokens are numbered in order, merging pairs in order. */
function tokenizerJson(tokens: string[], merges: [string, string][], sections: Record<string, unknown>) {
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  return {
    ...{ added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null },
    model: { type: 'BPE', vocab, merges, unk_token: null, byte_fallback: false },
    ...sections,
  };
}

const split = (pattern: Record<string, string>, behavior: string, invert = false) => ({ type: 'Split', pattern, behavior, invert });
const spaced: [string[], [string, string][]] = [
  ['a', 'b', ' ', '  ', 'a ', ' b', 'ab'],
  [[' ', ' '], ['a', ' '], [' ', 'b'], ['a', 'b']],
];
const marked: [string[], [string, string][]] = [
  ['a', 'b', '▁', 'a▁', '▁b'],
  [['a', '▁'], ['▁', 'b']],
];
const bytes = (...texts: string[]) => texts.map(textToAlphabet);

interface Case {
  what: string;
  json: ReturnType<typeof tokenizerJson>;
  text: string;
  tokens: string[];
  library: string[];
}

const cases: Case[] = [
  {
    what: 'Digits are all of Unicode, not ASCII alone',
    json: tokenizerJson(['a', '½', ' ', ' ½', 'a½'], [[' ', '½'], ['a', '½']], { pre_tokenizer: { type: 'Digits', individual_digits: true } }),
    text: 'a½ ½',
    tokens: ['a', '½', ' ', '½'],
    library: ['a½', ' ½'],
  },
  {
    what: 'ByteLevel: U+FEFF is no space',
    json: tokenizerJson(
      [...new Set([...bytes('\ufeff')[0], ...bytes('!', '?')])].concat(bytes('\ufeff!', '\ufeff'), ['»¿']),
      [['»', '¿'], ['ï', '»¿'], [textToAlphabet('\ufeff'), '!']],
      { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true } },
    ),
    text: '?\ufeff!',
    tokens: bytes('?', '\ufeff!'),
    library: bytes('?', '\ufeff', '!'),
  },
  {
    what: 'Metaspace cuts before every mark',
    json: tokenizerJson(...marked, { pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: true } }),
    text: 'a b',
    tokens: ['a', '▁b'],
    library: ['a▁', 'b'],
  },
  {
    what: 'Split merged with the previous part',
    json: tokenizerJson(...spaced, { pre_tokenizer: split({ String: ' ' }, 'MergedWithPrevious') }),
    text: 'a  b',
    tokens: ['a ', ' ', 'b'],
    library: ['a', ' ', ' ', 'b'],
  },
  {
    what: 'Split merged with the next part',
    json: tokenizerJson(...spaced, { pre_tokenizer: split({ Regex: ' ' }, 'MergedWithNext') }),
    text: 'a  b',
    tokens: ['a', ' ', ' b'],
    library: ['a', ' ', ' ', 'b'],
  },
  {
    what: 'Split of contiguous matches',
    json: tokenizerJson(...spaced, { pre_tokenizer: split({ String: ' ' }, 'Contiguous') }),
    text: 'a  b',
    tokens: ['a', '  ', 'b'],
    library: ['a', ' ', ' ', 'b'],
  },
  {
    what: 'Split that removes a literal pattern',
    json: tokenizerJson(...spaced, { pre_tokenizer: split({ String: ' ' }, 'Removed') }),
    text: 'a  b',
    tokens: ['a', 'b'],
    library: ['a', ' ', ' ', 'b'],
  },
  {
    what: 'an inverted Split that isolates keeps what lies between',
    json: tokenizerJson(...spaced, { pre_tokenizer: split({ Regex: 'a' }, 'Isolated', true) }),
    text: 'a b',
    tokens: ['a', ' b'],
    library: ['a'],
  },
];

describe('corrections of @huggingface/tokenizers', () => {
  it.each(cases)('$what', async ({ json, text, tokens, library }) => {
    const tokenizer = await load(memory({ 'tokenizer.json': json }));
    expect(tokenizer.encode(text).map((id) => tokenizer.idToToken(id))).toEqual(tokens);
    expect(new Library(json, {}).encode(text).tokens).toEqual(library);
  });

  it('leaves alone what the library reads rightly', () => {
    const json = tokenizerJson(...spaced, { pre_tokenizer: split({ Regex: 'a| ' }, 'Isolated') });
    expect(correctTokenizerJson(json)).toEqual(json);
  });
});

describe('texts without a pre-tokenizer', () => {
  const sections = { normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' } };

  it('are cut before spaces when no merge crosses one', () => {
    const json = tokenizerJson(['a', '▁', '▁a', '▁▁', 'aa'], [['a', 'a'], ['▁', '▁'], ['▁', 'a']], sections);
    const corrected = correctTokenizerJson(json);
    expect(corrected.pre_tokenizer).not.toBeNull();
    for (const text of ['a a', '  aa   aaa a', ' ', 'aaaa aaa ']) {
      expect(new Library(corrected, {}).encode(text)).toEqual(new Library(json, {}).encode(text));
    }
  });

  it('stay whole when a merge crosses one', () => {
    const json = tokenizerJson(['a', '▁', 'a▁'], [['a', '▁']], sections);
    expect(correctTokenizerJson(json).pre_tokenizer).toBeNull();
    expect(new Library(correctTokenizerJson(json), {}).encode('a a').ids).toEqual([2, 0]);
  });
});
