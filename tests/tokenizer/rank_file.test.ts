/** Rank files: our byte-pair merge against its definition, specials, families, errors. */
import { describe, expect, it } from 'vitest';
import { BytePairEncoder } from '../../src/tokenizer/bpe.js';
import { bytesToAlphabet, textToAlphabet } from '../../src/tokenizer/byte_level.js';
import { rankFamilies } from '../../src/tokenizer/rank_families.js';
import { parseRanks } from '../../src/tokenizer/rank_file.js';
import { tokenizerFromFiles } from '../../src/tokenizer/index.js';
import { load, memory, streamed } from './support.js';

const utf8 = new TextEncoder();

/** A rank file of all bytes in order and then the given tokens. */
function rankFile(...tokens: string[]): string {
  const bytes = [...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)), ...tokens.map((token) => utf8.encode(token))];
  return bytes.map((token, rank) => `${btoa(String.fromCharCode(...token))} ${rank}`).join('\n') + '\n';
}

const kimi = (...tokens: string[]) => ({
  'tiktoken.model': rankFile(...tokens),
  'tokenizer_config.json': { tokenizer_class: 'TikTokenTokenizer' },
});

/** The definition of the merge: scan all pairs, merge the lowest rank, leftmost first; repeat. */
function mergeByDefinition(word: string, ranks: ReadonlyMap<string, number>): number[] {
  const parts = [...word];
  for (;;) {
    let best = -1;
    let lowest = Infinity;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(parts[i] + parts[i + 1]) ?? Infinity;
      if (rank < lowest) [best, lowest] = [i, rank];
    }
    if (best < 0) return parts.map((part) => ranks.get(part)!);
    parts.splice(best, 2, parts[best] + parts[best + 1]);
  }
}

describe('byte-pair merge', () => {
  const ranks = parseRanks(utf8.encode(rankFile('aa', 'ab', 'aaa', 'ba', 'aaaa', 'bab', 'abab', 'aab', 'cab', 'abc', 'bb')));

  it('equals the definition on 2,000 words', () => {
    let seed = 1;
    const random = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
    const encoder = new BytePairEncoder(ranks);
    for (let i = 0; i < 2000; i++) {
      const word = Array.from({ length: 1 + random(24) }, () => 'abc'[random(3)]).join('');
      expect(encoder.encode(word), word).toEqual(ranks.has(word) ? [ranks.get(word)] : mergeByDefinition(word, ranks));
    }
  });

  it('merges a word of 100,000 letters in well under two seconds', () => {
    const start = performance.now();
    const ids = new BytePairEncoder(ranks).encode('a'.repeat(100_000));
    expect(performance.now() - start).toBeLessThan(2000);
    expect(ids).toEqual(new Array(25_000).fill(ranks.get('aaaa')));
  });

  it('takes a word that is a token as it is', () => {
    // No pair of its parts is a token, so merging alone would never reach it.
    const whole = new Map([...ranks, [textToAlphabet('xyz'), 999]]);
    expect(new BytePairEncoder(whole).encode('xyz')).toEqual([999]);
  });
});

describe('a Kimi rank file', () => {
  it('places its special tokens behind the ranks and finds them in text', async () => {
    const tokenizer = await load(memory(kimi('He', 'll', 'llo')));
    expect(tokenizer.tokenToId('[BOS]')).toBe(259);
    expect(tokenizer.tokenToId('<|im_middle|>')).toBe(259 + 17);
    expect(tokenizer.idToToken(259 + 5)).toBe('<|reserved_token_264|>');
    expect(tokenizer.vocabularySize).toBe(259 + 256);
    expect(tokenizer.specialTokenIds).toHaveLength(256);
    expect(tokenizer.encode('Hello<|im_end|>')).toEqual([256, 258, 261]); // no BOS: the family adds none
    expect(tokenizer.decode([256, 258, 261])).toBe('Hello<|im_end|>');
    expect(tokenizer.decode([256, 258, 261], { skipSpecialTokens: true })).toBe('Hello');
  });

  it('takes names and roles from tokenizer_config.json', async () => {
    const tokenizer = await load(
      memory({
        'tiktoken.model': rankFile(),
        'tokenizer_config.json': {
          tokenizer_class: 'TikTokenTokenizer',
          added_tokens_decoder: { 256: { content: '<start>', special: true }, 600: { content: '<tool>', special: false } },
          bos_token: { content: '<start>' },
          eos_token: '[EOS]',
          add_bos_token: true,
        },
      }),
    );
    expect(tokenizer.encode('<tool>')).toEqual([256, 600]);
    expect([tokenizer.bosTokenId, tokenizer.eosTokenId, tokenizer.vocabularySize]).toEqual([256, 257, 601]);
    expect(tokenizer.specialTokenIds).not.toContain(600);
  });

  it('splits Han from other letters, and knows U+0085 as space but not U+FEFF', () => {
    const words = (text: string) => [...text.matchAll(rankFamilies[0].pattern)].map(([word]) => word);
    expect(words("漢字かなABc12345 don'T  x\u0085\ufeff")).toEqual(['漢字', 'かなABc', '123', '45', " don'T", ' ', ' x', '\u0085', '\ufeff']);
  });

  it('keeps Han with other letters for Llama 4, and slashes with line ends', () => {
    const words = (text: string) => [...text.matchAll(rankFamilies[1].pattern)].map(([word]) => word);
    expect(words('漢字かなABc a/\n//x')).toEqual(['漢字かなABc', ' a', '/\n//', 'x']);
  });

  it('streams whole characters', async () => {
    const tokenizer = await load(memory(kimi()));
    const text = 'é👨‍👩‍👧漢';
    const pieces = streamed(tokenizer, tokenizer.encode(text));
    expect(pieces.filter((piece) => piece !== '')).toEqual([...text]);
    expect(streamed(tokenizer, [0xf0, 0x9f, 0x91]).at(-1)).toBe('\uFFFD');
  });
});

it('lists Llama 4 special tokens at the published ids', () => {
  const [, llama4] = rankFamilies;
  const tokens = llama4.specialTokens(200_000);
  const at = (id: number) => tokens[id - 200_000];
  expect(tokens).toHaveLength(2048);
  expect(new Set(tokens).size).toBe(2048);
  expect([200000, 200001, 200005, 200006, 200007, 200008, 200018, 200080, 200081, 200092].map(at)).toEqual([
    ...['<|begin_of_text|>', '<|end_of_text|>', '<|header_start|>', '<|header_end|>', '<|eom|>', '<|eot|>'],
    ...['<|finetune_right_pad|>', '<|image_start|>', '<|image_end|>', '<|patch|>'],
  ]);
  expect([201134, 201143].map(at)).toEqual(['<|reasoning_reserved_special_token_0|>', '<|reasoning_thinking_end|>']);
});

describe('rank files that cannot be used', () => {
  const refused = (contents: Record<string, unknown>) => expect(tokenizerFromFiles(memory(contents))).rejects;

  it('of no known family', () =>
    refused({ 'tiktoken.model': rankFile() }).toThrow(
      'test-model: tiktoken.model cannot be used: its 256 ranks fit no known family (Kimi: tiktoken.model with 163584 ranks; Llama 4: tokenizer.model with 200000 ranks)',
    ));
  it('with a broken line', () =>
    refused({ ...kimi(), 'tiktoken.model': rankFile().replace('\n', '\n?? 1\n') }).toThrow('line 2 must be a base64 token and its rank, not "?? 1"'));
  it('with a gap in the ranks', () =>
    refused({ ...kimi(), 'tiktoken.model': rankFile() + 'YWI= 300\n' }).toThrow('line 257 has rank 300, but ranks must count up from 0 (256 expected)'));
  it('without one of the bytes', () =>
    refused({ ...kimi(), 'tiktoken.model': 'YQ== 0\n' }).toThrow('it has no token for byte 0x00'));
});

it('writes every byte as its own character of the alphabet', () => {
  const all = bytesToAlphabet(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  expect(new Set(all).size).toBe(256);
  expect(all).not.toMatch(/[\s\p{Cc}]/u);
  expect(textToAlphabet(' \n')).toBe('ĠĊ');
});
