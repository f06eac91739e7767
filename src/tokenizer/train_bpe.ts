/**
 * Trains a byte-level BPE vocabulary (Sennrich et al., arXiv:1508.07909; bytes as in GPT-2) on texts,
 * and writes it as a tokenizer.json. Small vocabularies on small texts: the counts of all pairs are
 * looked through for every merge. The same texts give the same vocabulary on every machine.
 */
import { bytesToAlphabet, textToAlphabet } from './byte_level.js';

/** What GPT-2 takes for a word; `ByteLevel` in tokenizer.json means the same. */
const WORDS = /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** Ends every document, and is never part of a text. */
export const END_OF_TEXT = '<|endoftext|>';

interface Word { readonly count: number; symbols: number[] }

/** Counts words over texts, then merges. */
export class BpeTrainer {
  private readonly counts = new Map<string, number>();

  add(text: string): void {
    for (const [word] of text.matchAll(WORDS)) this.counts.set(word, (this.counts.get(word) ?? 0) + 1);
  }

  /**
   * The content of a tokenizer.json with up to `size` tokens, END_OF_TEXT and the 256 bytes among them;
   * fewer where the texts have no pair left that occurs twice.
   */
  tokenizerJson(size: number): Record<string, unknown> {
    if (!Number.isInteger(size) || size < 257) throw new RangeError(`a byte-level vocabulary has at least 257 tokens, got ${size}`);
    const bytes = Array.from({ length: 256 }, (_, byte) => bytesToAlphabet(Uint8Array.of(byte)));
    const tokens = [END_OF_TEXT, ...bytes.sort()];
    const merges = this.merge(tokens, size);
    return {
      version: '1.0', truncation: null, padding: null,
      added_tokens: [{ id: 0, content: END_OF_TEXT, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true }],
      normalizer: null, pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }, post_processor: null,
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges,
      },
    };
  }

  /** Adds the most frequent pair as a token until there are `size`; among equals the pair of lowest ids. */
  private merge(tokens: string[], size: number): [string, string][] {
    const ids = new Map(tokens.map((token, id) => [token, id]));
    const words: Word[] = [...this.counts].map(([word, count]) => ({ count, symbols: [...textToAlphabet(word)].map((character) => ids.get(character)!) }));
    const pairs = new PairCounts(words);
    const merges: [string, string][] = [];
    while (tokens.length < size) {
      const best = pairs.mostFrequent();
      if (!best) break;
      const [left, right] = best;
      merges.push([tokens[left], tokens[right]]);
      tokens.push(tokens[left] + tokens[right]);
      pairs.merge(left, right, tokens.length - 1);
    }
    return merges;
  }
}

/** A pair of ids as one number: ids stay far below 2^24. */
const RADIX = 2 ** 24;

/** How often each pair of neighbouring symbols occurs, and in which words. */
class PairCounts {
  private readonly counts = new Map<number, number>();
  private readonly places = new Map<number, Set<Word>>();

  constructor(words: readonly Word[]) {
    for (const word of words) this.count(word, 1);
  }

  /** Undefined when no pair occurs twice. */
  mostFrequent(): [number, number] | undefined {
    let [best, most] = [-1, 1];
    for (const [pair, count] of this.counts) if (count > most || (count === most && count > 1 && pair < best)) { best = pair; most = count; }
    return best < 0 ? undefined : [Math.floor(best / RADIX), best % RADIX];
  }

  merge(left: number, right: number, merged: number): void {
    for (const word of this.places.get(left * RADIX + right) ?? []) {
      this.count(word, -1);
      word.symbols = joined(word.symbols, left, right, merged);
      this.count(word, 1);
    }
    this.places.delete(left * RADIX + right);
  }

  private count(word: Word, sign: 1 | -1): void {
    const { count, symbols } = word;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const pair = symbols[i] * RADIX + symbols[i + 1];
      const sum = (this.counts.get(pair) ?? 0) + sign * count;
      if (sum > 0) this.counts.set(pair, sum);
      else this.counts.delete(pair);
    }
    if (sign > 0) this.place(word);
  }

  private place(word: Word): void {
    for (let i = 0; i + 1 < word.symbols.length; i++) {
      const pair = word.symbols[i] * RADIX + word.symbols[i + 1];
      let places = this.places.get(pair);
      if (!places) this.places.set(pair, places = new Set());
      places.add(word);
    }
  }
}

function joined(symbols: readonly number[], left: number, right: number, merged: number): number[] {
  const out: number[] = [];
  for (let i = 0; i < symbols.length; i++) {
    if (symbols[i] === left && symbols[i + 1] === right) { out.push(merged); i++; } else out.push(symbols[i]);
  }
  return out;
}
