/**
 * The tokenizer that the library's users hold: a vocabulary, the tokens around a text, and the chat
 * template, whatever files they came from. Reading those files is load.ts.
 */
import { ChatTemplate, type ChatMessage, type ChatTemplateOptions, type NamedTemplates } from './chat_template.js';
import type { TokenizerConfig } from './config.js';
import { findEndOfTurn } from './end_of_turn.js';
import { bytesOf, type LoadedFiles } from './files.js';
import type { TextStream, Vocabulary } from './vocabulary.js';

export interface EncodeOptions {
  /** Put around the text what the model expects there (BOS, EOS). Default true. */
  addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave control tokens out of the text. Default false. */
  skipSpecialTokens?: boolean;
}

export interface Tokenizer {
  /**
   * Ids of a text. Added tokens written in the text (`<|im_end|>`) are recognised in any case, as in
   * transformers; a text from `applyChatTemplate` has its BOS already: encode it with
   * `addSpecialTokens: false`.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** Text of ids; ids outside the vocabulary give none, broken UTF-8 gives U+FFFD. */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** A decoder for ids that come one at a time; the pieces joined equal `decode` of all ids. */
  stream(options?: DecodeOptions): TextStream;
  /** Text of a chat. Options that are not listed are variables of the template. */
  applyChatTemplate(messages: readonly ChatMessage[], options?: ChatTemplateOptions): string;
  /** The Jinja template, if the checkpoint has one. */
  readonly chatTemplate: string | undefined;
  /** One more than the highest id. A model may have more rows, for padding. */
  readonly vocabularySize: number;
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  /** Ids that `skipSpecialTokens` leaves out, ascending. */
  readonly specialTokenIds: readonly number[];
  /** Ids after which an assistant has finished: EOS, and what the chat template puts after a turn. */
  readonly endOfTurnIds: readonly number[];
  tokenToId(token: string): number | undefined;
  idToToken(id: number): string | undefined;
  /** The bytes of every tokenizer file of the source, by name, to save beside a model. */
  originalFiles(): Promise<Map<string, Uint8Array>>;
}

export interface TokenizerParts {
  readonly vocabulary: Vocabulary;
  readonly config: TokenizerConfig;
  readonly templates: NamedTemplates;
  readonly files: LoadedFiles;
}

/** Puts a tokenizer together from parts that have been read. */
export function createTokenizer(parts: TokenizerParts): Tokenizer {
  return new TextTokenizer(parts);
}

class TextTokenizer implements Tokenizer {
  readonly bosTokenId: number | undefined;
  readonly eosTokenId: number | undefined;
  readonly specialTokenIds: readonly number[];
  private readonly special: ReadonlySet<number>;
  private readonly template: ChatTemplate;
  private endOfTurn: readonly number[] | undefined;

  constructor(private readonly parts: TokenizerParts) {
    const { vocabulary, config, templates, files } = parts;
    this.bosTokenId = this.idOfRole('bos_token');
    this.eosTokenId = this.idOfRole('eos_token');
    const contents = [...config.namedTokens.values(), ...config.additionalSpecialTokens];
    const named = contents.flatMap((token) => vocabulary.tokenToId(token) ?? []);
    const declared = vocabulary.addedTokens.filter(({ special }) => special).map(({ id }) => id);
    this.special = new Set([...declared, ...named]);
    this.specialTokenIds = [...this.special].sort((a, b) => a - b);
    this.template = new ChatTemplate(templates, config.namedTokens, files.name);
  }

  private idOfRole(role: string): number | undefined {
    const token = this.parts.config.namedTokens.get(role);
    return token === undefined ? undefined : this.parts.vocabulary.tokenToId(token);
  }

  encode(text: string, { addSpecialTokens = true }: EncodeOptions = {}): number[] {
    const { vocabulary, config } = this.parts;
    if (!addSpecialTokens) return vocabulary.encode(text);
    // What the configuration says outright replaces the vocabulary's own rule, as in transformers.
    if (config.addBosToken === undefined && config.addEosToken === undefined) return vocabulary.encodeFramed(text);
    const ids = vocabulary.encode(text);
    if (config.addBosToken && this.bosTokenId !== undefined) ids.unshift(this.bosTokenId);
    if (config.addEosToken && this.eosTokenId !== undefined) ids.push(this.eosTokenId);
    return ids;
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const stream = this.stream(options);
    const pieces = ids.map((id) => stream.push(id));
    return pieces.join('') + stream.end();
  }

  stream({ skipSpecialTokens = false }: DecodeOptions = {}): TextStream {
    return this.parts.vocabulary.stream(skipSpecialTokens ? this.special : new Set());
  }

  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.template.render(messages, options);
  }

  get chatTemplate(): string | undefined {
    return this.template.source;
  }

  get vocabularySize(): number {
    return this.parts.vocabulary.size;
  }

  get endOfTurnIds(): readonly number[] {
    if (!this.endOfTurn) {
      const fromTemplate = findEndOfTurn(this.template, this.parts.vocabulary.addedTokens);
      this.endOfTurn = [...new Set([...(this.eosTokenId === undefined ? [] : [this.eosTokenId]), ...fromTemplate])];
    }
    return this.endOfTurn;
  }

  tokenToId(token: string): number | undefined {
    return this.parts.vocabulary.tokenToId(token);
  }

  idToToken(id: number): string | undefined {
    return this.parts.vocabulary.idToToken(id);
  }

  async originalFiles(): Promise<Map<string, Uint8Array>> {
    return new Map([...this.parts.files.contents].map(([name, content]) => [name, bytesOf(content)]));
  }
}
