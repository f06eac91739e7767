import { describe, expect, it } from 'vitest';
import { StopMatcher } from '../../src/tokenizer/index.js';

/** What is shown when a text comes in pieces of the given length, and whether it stopped. */
function show(stops: string[], text: string, pieceLength: number): { text: string; stopped: boolean } {
  const matcher = new StopMatcher(stops);
  let shown = '';
  for (let at = 0; at < text.length; at += pieceLength) shown += matcher.push(text.slice(at, at + pieceLength));
  return { text: shown + matcher.end(), stopped: matcher.stopped };
}

describe('StopMatcher', () => {
  it('holds back only what could become a stop string', () => {
    const matcher = new StopMatcher(['\nUser:']);
    expect(matcher.push('Yes.\nU')).toBe('Yes.');
    expect(matcher.push('nder')).toBe('\nUnder');
    expect(matcher.push(' it\n')).toBe(' it');
    expect(matcher.push('User')).toBe('');
    expect(matcher.push(': no')).toBe('');
    expect(matcher.stopped).toBe(true);
    expect(matcher.push('more')).toBe('');
    expect(matcher.end()).toBe('');
  });

  it('gives back at the end what did not become a stop string', () => {
    const matcher = new StopMatcher(['END']);
    expect(matcher.push('the EN')).toBe('the ');
    expect(matcher.end()).toBe('EN');
    expect(matcher.stopped).toBe(false);
  });

  it.each([
    [['aab'], 'xaaab!', 'xa', true],
    [['abc', 'b'], 'abcd', 'a', true],
    [['bc', 'abc'], 'xabc', 'x', true],
    [['bb', 'bbb'], 'abbbc', 'a', true],
    [['zz'], 'a z b', 'a z b', false],
    [[], 'anything', 'anything', false],
    [['🙂'], 'so 🙂 then', 'so ', true],
  ] as [string[], string, string, boolean][])('stops %j in %j after %j, however the text is cut', (stops, text, shown, stopped) => {
    for (let pieceLength = 1; pieceLength <= text.length; pieceLength++) {
      expect(show(stops, text, pieceLength)).toEqual({ text: shown, stopped });
    }
  });

  it('refuses an empty stop string', () => {
    expect(() => new StopMatcher(['a', ''])).toThrow('A stop string must not be empty.');
  });
});
