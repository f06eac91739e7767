/**
 * A vocabulary from a tiktoken rank file: one `base64(token) rank` a line. Splitting and special tokens
 * come from rank_families.ts, merging from bpe.ts.
 */
import { BytePairEncoder } from './bpe.js';
import { alphabetToBytes, bytesToAlphabet, textToAlphabet } from './byte_level.js';
import { Utf8Stream } from './decoder.js';
import { escapePattern } from './pattern.js';
import type { RankFamily } from './rank_families.js';
import type { AddedToken, TextStream, Vocabulary } from './vocabulary.js';

/** Whether bytes look like a rank file rather than a SentencePiece protobuf. */
export function isRankFile(bytes: Uint8Array): boolean {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 4096));
  return /^[A-Za-z0-9+/]+=* \d+\r?(\n|$)/.test(head);
}

/**
 * Reads the tokens (in the byte alphabet) and their ranks.
 * @throws with the line number when a line is malformed, when ranks are not 0 … n-1, or when one of the 256 bytes is missing.
 */
export function parseRanks(bytes: Uint8Array): Map<string, number> {
  const ranks = new Map<string, number>();
  const lines = new TextDecoder('latin1').decode(bytes).split('\n');
  lines.forEach((line, i) => {
    if (line.trim() === '') return;
    const [, base64, rank] = /^([A-Za-z0-9+/]+=*) (\d+)\s*$/.exec(line) ?? [];
    const where = `line ${i + 1}`;
    if (rank === undefined) throw new Error(`${where} must be a base64 token and its rank, not ${JSON.stringify(line.slice(0, 40))}.`);
    if (Number(rank) !== ranks.size) throw new Error(`${where} has rank ${rank}, but ranks must count up from 0 (${ranks.size} expected).`);
    ranks.set(bytesToAlphabet(Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))), Number(rank));
  });
  for (let byte = 0; byte < 256; byte++) {
    if (ranks.has(bytesToAlphabet(Uint8Array.of(byte)))) continue;
    throw new Error(`it has no token for byte 0x${byte.toString(16).padStart(2, '0')}, so not every text can be encoded.`);
  }
  return ranks;
}

/**
 * Builds a vocabulary from ranks.
 * @param declared special tokens from tokenizer_config.json; they rename the family's at the same ids.
 */
export function vocabularyFromRanks(
  ranks: ReadonlyMap<string, number>,
  family: RankFamily,
  declared: readonly AddedToken[] = [],
): Vocabulary {
  return new RankVocabulary(ranks, family, declared);
}

class RankVocabulary implements Vocabulary {
  readonly size: number;
  readonly addedTokens: readonly AddedToken[];
  private readonly encoder: BytePairEncoder;
  private readonly tokens: string[];
  private readonly added: ReadonlyMap<string, AddedToken>;
  private readonly addedById: ReadonlyMap<number, AddedToken>;
  private readonly addedPattern: RegExp;

  constructor(
    private readonly ranks: ReadonlyMap<string, number>,
    private readonly family: RankFamily,
    declared: readonly AddedToken[],
  ) {
    const own = family.specialTokens(ranks.size).map((content, i) => ({ id: ranks.size + i, content, special: true }));
    const byId = new Map<number, AddedToken>(own.map((token) => [token.id, token]));
    for (const token of declared) if (token.id >= ranks.size) byId.set(token.id, token);
    this.addedById = byId;
    this.addedTokens = [...byId.values()];
    this.added = new Map(this.addedTokens.map((token) => [token.content, token]));
    const longestFirst = [...this.added.keys()].sort((a, b) => b.length - a.length);
    this.addedPattern = new RegExp(`(${longestFirst.map(escapePattern).join('|')})`);
    this.size = 1 + this.addedTokens.reduce((highest, { id }) => Math.max(highest, id), ranks.size - 1);
    this.tokens = [...ranks.keys()];
    this.encoder = new BytePairEncoder(ranks);
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    for (const part of text.split(this.addedPattern)) {
      const added = this.added.get(part);
      if (added) ids.push(added.id);
      else this.encodeWords(part, ids);
    }
    return ids;
  }

  private encodeWords(text: string, ids: number[]): void {
    for (const [word] of text.matchAll(this.family.pattern)) {
      for (const id of this.encoder.encode(textToAlphabet(word))) ids.push(id);
    }
  }

  /** A rank file puts nothing around a text; the family's BOS rule is part of the configuration. */
  encodeFramed(text: string): number[] {
    return this.encode(text);
  }

  stream(skip: ReadonlySet<number>): TextStream {
    const utf8 = new Utf8Stream();
    const unicode = new TextEncoder();
    return {
      push: (id) => {
        if (skip.has(id)) return '';
        const added = this.addedById.get(id);
        if (added) return utf8.push(unicode.encode(added.content));
        const token = this.tokens[id];
        return token === undefined ? '' : utf8.push(alphabetToBytes(token));
      },
      end: () => utf8.end(),
    };
  }

  tokenToId(token: string): number | undefined {
    return this.added.get(token)?.id ?? this.ranks.get(token);
  }

  idToToken(id: number): string | undefined {
    return this.addedById.get(id)?.content ?? this.tokens[id];
  }
}
