/**
 * What every vocabulary offers, whatever file it came from. The rest of this folder (special tokens
 * around a text, chat templates, streaming) is written against this and never asks which file it was.
 */

/** A token that is recognised in text as a whole, before any splitting. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Control tokens: left out by `skipSpecialTokens`. */
  readonly special: boolean;
}

/** Turns ids into text, one at a time. */
export interface TextStream {
  /** Text that is final once this id is known; '' while a character is incomplete. */
  push(id: number): string;
  /** What was held back; an incomplete character becomes U+FFFD. The stream is then at its start again. */
  end(): string;
}

export interface Vocabulary {
  /** One more than the highest id. */
  readonly size: number;
  readonly addedTokens: readonly AddedToken[];
  /** Ids of a text, added tokens recognised in it, nothing put around it. */
  encode(text: string): number[];
  /** Ids of a text with what the vocabulary's own file puts around it. */
  encodeFramed(text: string): number[];
  /** A fresh stream that leaves out the ids in `skip`; ids outside the vocabulary give no text. */
  stream(skip: ReadonlySet<number>): TextStream;
  tokenToId(token: string): number | undefined;
  idToToken(id: number): string | undefined;
}
