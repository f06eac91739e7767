/** Decoding stage by stage; expected texts as the `tokenizers` crate gives them. */
import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../src/tokenizer/decoder.js';
import { textToAlphabet } from '../../src/tokenizer/byte_level.js';

/** What each token gives at once, and what comes at the end. */
function pieces(config: unknown, tokens: string[]): string[] {
  const stage = createDecoder(config);
  return [...tokens.map((token) => stage.push(token).join('')), stage.end().join('')];
}

const sequence = (...decoders: unknown[]) => ({ type: 'Sequence', decoders });
const spaces = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
const fallback = { type: 'ByteFallback' };
const fuse = { type: 'Fuse' };
const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
const llama = sequence(spaces, fallback, fuse, strip);

describe('SentencePiece with byte fallback', () => {
  it('drops the space that the encoder put first, and only that one', () => {
    expect(pieces(llama, ['▁Hi', '▁there'])).toEqual(['Hi', ' there', '']);
    expect(pieces(llama, ['▁', '▁Hi'])).toEqual(['', ' Hi', '']);
    expect(pieces(llama, ['Hi', '▁there'])).toEqual(['Hi', ' there', '']);
  });

  it('gives a character when the run of its bytes has ended', () => {
    expect(pieces(llama, ['▁', '<0xE2>', '<0x82>', '<0xAC>', '!'])).toEqual(['', '', '', '', '€!', '']);
    expect(pieces(llama, ['<0xF0>', '<0x9F>', '<0x99>', '<0x82>'])).toEqual(['', '', '', '', '🙂']);
  });

  it('gives one U+FFFD for each byte of a run that is not UTF-8', () => {
    expect(pieces(llama, ['a', '<0xE2>', '<0x82>', 'b'])).toEqual(['a', '', '', '\uFFFD\uFFFDb', '']);
    expect(pieces(llama, ['<0x41>', '<0xFF>']).join('')).toBe('\uFFFD\uFFFD');
  });

  it('keeps a byte order mark', () => {
    expect(pieces(llama, ['<0xEF>', '<0xBB>', '<0xBF>', 'a']).join('')).toBe('\uFEFFa');
  });
});

describe('byte-level', () => {
  const config = { type: 'ByteLevel' };
  const [a, b, c, d] = [...textToAlphabet('👋')];

  it('gives a character with its last byte', () => {
    expect(pieces(config, [a + b, c, d + 'Ġ', 'x'])).toEqual(['', '', '👋 ', 'x', '']);
  });

  it('replaces what can no longer become a character', () => {
    expect(pieces(config, [a + b, 'x', a])).toEqual(['', '\uFFFDx', '', '\uFFFD']);
  });

  it('takes a token with characters outside the alphabet as text', () => {
    expect(pieces(config, ['<｜User｜>', 'Ġhi', '▁'])).toEqual(['<｜User｜>', ' hi', '▁', '']);
  });
});

describe('other decoders', () => {
  it('joins tokens by spaces without a decoder', () => {
    expect(pieces(null, ['a', 'b', 'c'])).toEqual(['a', ' b', ' c', '']);
  });

  it('Metaspace drops every mark of the first token, unless no prefix is ever added', () => {
    expect(pieces({ type: 'Metaspace', replacement: '▁', prepend_scheme: 'first' }, ['▁▁a', '▁b'])).toEqual(['a', ' b', '']);
    expect(pieces({ type: 'Metaspace', replacement: '▁', prepend_scheme: 'never' }, ['▁a', '▁b'])).toEqual([' a', ' b', '']);
  });

  it('Strip without Fuse cuts every token', () => {
    expect(pieces(sequence(spaces, strip), ['▁a', '▁▁b'])).toEqual(['a', ' b', '']);
  });

  it('Strip cuts the end of the whole text', () => {
    const both = sequence(spaces, fuse, { ...strip, stop: 2 });
    expect(pieces(both, ['▁a▁', '▁b', '▁', '▁', '▁']).join('')).toBe('a  b ');
  });

  it('a pattern of several characters is found across tokens after Fuse', () => {
    const config = sequence(fuse, { type: 'Replace', pattern: { String: 'ab' }, content: '$&' });
    expect(pieces(config, ['xa', 'by'])).toEqual(['', '', 'x$&y']);
  });

  it('starts again after the end', () => {
    const stage = createDecoder(llama);
    for (let i = 0; i < 2; i++) expect([...stage.push('▁a'), ...stage.push('<0x62>'), ...stage.end()].join('')).toBe('ab');
  });

  it('refuses what it does not know', () => {
    expect(() => createDecoder({ type: 'WordPiece' })).toThrow('decoder type "WordPiece" is not supported');
    expect(() => createDecoder({ type: 'Replace', pattern: { Regex: 'x' } })).toThrow('a Replace decoder needs a pattern of the form');
  });
});
