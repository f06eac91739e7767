/**
 * A vocabulary from tokenizer.json, the format of every family on the hub. Encoding is
 * `@huggingface/tokenizers` (with corrections.ts before it), decoding is decoder.ts.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { correctTokenizerJson } from './corrections.js';
import { createDecoder } from './decoder.js';
import { isObject, type JsonObject } from './files.js';
import type { AddedToken, TextStream, Vocabulary } from './vocabulary.js';

/**
 * Builds a vocabulary from the content of a tokenizer.json.
 * @param extraTokens added tokens that only tokenizer_config.json knows.
 * @throws with the reason when the content is not a tokenizer that can be run.
 */
export function vocabularyFromJson(json: JsonObject, extraTokens: readonly AddedToken[] = []): Vocabulary {
  return new HubVocabulary(json, extraTokens);
}

class HubVocabulary implements Vocabulary {
  readonly size: number;
  readonly addedTokens: readonly AddedToken[];
  private readonly library: Library;
  private readonly decoder: unknown;

  constructor(json: JsonObject, extraTokens: readonly AddedToken[]) {
    const model = json.model;
    if (!isObject(model) || !model.vocab) throw new Error('it has no model.vocab.');
    const added = mergeAddedTokens(json.added_tokens, extraTokens);
    this.addedTokens = added.map(({ id, content, special }) => ({ id, content, special: special === true }));
    this.size = 1 + Math.max(highestId(model.vocab), added.reduce((highest, { id }) => Math.max(highest, id), -1));
    this.decoder = json.decoder;
    createDecoder(this.decoder); // refuse an unknown decoder now, not at the first token
    const sections = { normalizer: null, post_processor: null, ...json, decoder: null, added_tokens: added };
    this.library = new Library(correctTokenizerJson(sections), {});
  }

  encode(text: string): number[] {
    return this.library.encode(text, { add_special_tokens: false }).ids;
  }

  encodeFramed(text: string): number[] {
    return this.library.encode(text, { add_special_tokens: true }).ids;
  }

  stream(skip: ReadonlySet<number>): TextStream {
    const stage = createDecoder(this.decoder);
    return {
      push: (id) => {
        const token = skip.has(id) ? undefined : this.idToToken(id);
        return token === undefined ? '' : stage.push(token).join('');
      },
      end: () => stage.end().join(''),
    };
  }

  tokenToId(token: string): number | undefined {
    return this.library.token_to_id(token);
  }

  idToToken(id: number): string | undefined {
    return this.library.id_to_token(id);
  }
}

function highestId(vocab: unknown): number {
  if (Array.isArray(vocab)) return vocab.length - 1;
  let highest = -1;
  // Without a list of all of them: vocabularies have hundreds of thousands.
  for (const token in vocab as Record<string, number>) highest = Math.max(highest, (vocab as Record<string, number>)[token]);
  return highest;
}

/** The file's own added tokens win; the configuration only fills in ids that the file does not list. */
function mergeAddedTokens(own: unknown, extra: readonly AddedToken[]): AddedToken[] {
  const tokens = Array.isArray(own) ? (own as AddedToken[]) : [];
  const known = new Set(tokens.map(({ id }) => id));
  return [...tokens, ...extra.filter(({ id }) => !known.has(id)).map((token) => ({ ...token, normalized: false }))];
}
