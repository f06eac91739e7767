/**
 * The tokenizer that a GGUF file carries in its metadata, written out as the hub's own files:
 * tokenizer.json and tokenizer_config.json. Everything behind them (encoding, decoding, templates, saving)
 * is then the same as for any checkpoint. The kinds are `gpt2`, byte-level BPE by merges, and `llama`,
 * SentencePiece BPE by scores; vocabularies of encoders and of other models are refused by name.
 */
import { CheckpointError, quoted } from '../checkpoint/error.js';
import type { Gguf, MetadataValue } from '../checkpoint/index.js';
import { bytesOf, type JsonObject, type TextFiles } from './files.js';
import { PRE_TOKENIZERS, type PreTokenizer } from './gguf-pre.js';

/** ggml's kinds of token. */
export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** What the file's vocabulary says, checked. */
interface Vocabulary {
  readonly file: string;
  readonly tokens: readonly string[];
  readonly types: readonly number[];
  readonly metadata: ReadonlyMap<string, MetadataValue>;
}

/** A GGUF file's tokenizer as the hub's files; none where it has no vocabulary. */
export function ggufTokenizerFiles({ name, metadata }: Pick<Gguf, 'name' | 'metadata'>): TextFiles {
  let files: Map<string, JsonObject> | undefined;
  const readObject = async (fileName: string): Promise<JsonObject | undefined> => (files ??= new Map(Object.entries(tokenizerObjects(name, metadata) ?? {}))).get(fileName);
  const read = async (fileName: string): Promise<Uint8Array | undefined> => {
    const object = await readObject(fileName);
    return object && bytesOf(object);
  };
  return { name, read, readObject };
}

function tokenizerObjects(file: string, metadata: ReadonlyMap<string, MetadataValue>): Record<string, JsonObject> | undefined {
  const kind = metadata.get('tokenizer.ggml.model');
  if (kind === undefined || kind === 'none' || kind === 'no_vocab') return undefined;
  const vocabulary = readVocabulary(file, metadata);
  const flags = { bos: metadata.get('tokenizer.ggml.add_bos_token'), eos: metadata.get('tokenizer.ggml.add_eos_token') };
  switch (kind) {
    case 'gpt2': {
      const pre = preTokenizer(file, metadata);
      return hubFiles(vocabulary, byteLevel(vocabulary, pre), { bos: flags.bos ?? pre.addsBos ?? false, eos: flags.eos ?? false });
    }
    case 'llama': return hubFiles(vocabulary, sentencePiece(vocabulary), { bos: flags.bos ?? true, eos: flags.eos ?? false });
    default: throw new CheckpointError(`${file}: its tokenizer is of the kind ${quoted(kind)}, which is not supported (gpt2 and llama are)`);
  }
}

function readVocabulary(file: string, metadata: ReadonlyMap<string, MetadataValue>): Vocabulary {
  const tokens = list(file, metadata, 'tokens', 'string');
  if (!tokens) throw new CheckpointError(`${file} names a kind of tokenizer but has no tokenizer.ggml.tokens`);
  const types = list(file, metadata, 'token_type', 'number') ?? tokens.map(() => TOKEN_TYPE.normal);
  if (types.length !== tokens.length) throw new CheckpointError(`${file} has ${tokens.length} tokens but ${types.length} token types`);
  // An empty text would be found everywhere.
  return { file, tokens: tokens.map((token, i) => token || `[EMPTY_${i}]`), types, metadata };
}

function list<T extends 'string' | 'number'>(file: string, metadata: ReadonlyMap<string, MetadataValue>, key: string, type: T): (T extends 'string' ? string : number)[] | undefined {
  const value = metadata.get(`tokenizer.ggml.${key}`);
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || value.some((each) => typeof each !== type)) throw new CheckpointError(`${file}: tokenizer.ggml.${key} must be a list of ${type}s`);
  return value;
}

function preTokenizer(file: string, metadata: ReadonlyMap<string, MetadataValue>): PreTokenizer {
  const name = metadata.get('tokenizer.ggml.pre') ?? 'default';
  const found = PRE_TOKENIZERS.find(({ names }) => names.includes(String(name)));
  if (found) return found;
  throw new CheckpointError(`${file}: its tokenizer splits words by the rule ${quoted(name)}, which is not known; known are ${PRE_TOKENIZERS.map(({ names }) => names[0]).join(', ')}`);
}

/** The hub's sections that say how a text becomes ids and back. */
type Sections = Record<'normalizer' | 'pre_tokenizer' | 'decoder' | 'model', unknown>;

function hubFiles({ tokens, types, metadata }: Vocabulary, sections: Sections, adds: { bos: unknown; eos: unknown }): Record<string, JsonObject> {
  const roles = namedTokens(tokens, metadata);
  const special = (type: number): boolean => type === TOKEN_TYPE.control || type === TOKEN_TYPE.unknown;
  const added = tokens.flatMap((content, id) => (special(types[id]) || types[id] === TOKEN_TYPE.userDefined
    ? [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: special(types[id]) }]
    : []));
  const frame = { bos: adds.bos === true ? roles.bos_token : undefined, eos: adds.eos === true ? roles.eos_token : undefined };
  return {
    'tokenizer.json': { version: '1.0', truncation: null, padding: null, added_tokens: added, ...sections, post_processor: framing(tokens, frame) },
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast', ...roles, clean_up_tokenization_spaces: false,
      add_bos_token: frame.bos !== undefined, add_eos_token: frame.eos !== undefined, ...templates(metadata),
    },
  };
}

/** `bos_token` and the like, by the ids that the file gives; ids outside the vocabulary name nothing. */
function namedTokens(tokens: readonly string[], metadata: ReadonlyMap<string, MetadataValue>): Record<string, string> {
  const roles = { bos_token: 'bos', eos_token: 'eos', unk_token: 'unknown', pad_token: 'padding' };
  // SentencePiece's own order, which files of 2023 rely on.
  const usual: Record<string, number> = metadata.get('tokenizer.ggml.model') === 'llama' ? { bos: 1, eos: 2, unknown: 0 } : {};
  return Object.fromEntries(Object.entries(roles).flatMap(([role, key]) => {
    const id = metadata.get(`tokenizer.ggml.${key}_token_id`) ?? usual[key];
    const token = typeof id === 'number' ? tokens[id] : undefined;
    return token === undefined ? [] : [[role, token]];
  }));
}

/** What other readers of tokenizer.json put around a text. */
function framing(tokens: readonly string[], { bos, eos }: { bos?: string; eos?: string }): JsonObject | null {
  const around = [bos, eos].filter((token) => token !== undefined);
  if (around.length === 0) return null;
  const token = (text: string | undefined, type: number) => (text === undefined ? [] : [{ SpecialToken: { id: text, type_id: type } }]);
  const text = (id: string, type: number) => [...token(bos, type), { Sequence: { id, type_id: type } }, ...token(eos, type)];
  const ids = around.map((content) => [content, { id: content, ids: [tokens.indexOf(content)], tokens: [content] }]);
  return { type: 'TemplateProcessing', single: text('A', 0), pair: [...text('A', 0), ...text('B', 1)], special_tokens: Object.fromEntries(ids) };
}

function templates(metadata: ReadonlyMap<string, MetadataValue>): JsonObject {
  const usual = metadata.get('tokenizer.chat_template');
  const names = metadata.get('tokenizer.chat_templates');
  const named = (Array.isArray(names) ? names : []).flatMap((name) => {
    const template = metadata.get(`tokenizer.chat_template.${String(name)}`);
    return typeof template === 'string' ? [{ name: String(name), template }] : [];
  });
  if (typeof usual !== 'string' && named.length === 0) return {};
  if (named.length === 0) return { chat_template: usual };
  return { chat_template: [...(typeof usual === 'string' ? [{ name: 'default', template: usual }] : []), ...named] };
}

/** Without a prototype: a token may be called as its parts are. Filled in a loop: there are hundreds of thousands. */
function idsOf(tokens: readonly string[]): Record<string, number> {
  const ids = Object.create(null) as Record<string, number>;
  for (let id = 0; id < tokens.length; id++) ids[tokens[id]] = id;
  return ids;
}

function byteLevel({ file, tokens, metadata }: Vocabulary, { splits, ignoreMerges, normalizer }: PreTokenizer): Sections {
  const merges = list(file, metadata, 'merges', 'string');
  if (!merges) throw new CheckpointError(`${file} has a vocabulary of byte-level BPE without tokenizer.ggml.merges`);
  const split = (regex: string): JsonObject => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });
  const level = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  return {
    normalizer: normalizer ? { type: normalizer } : null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...splits.map(split), level] },
    decoder: level,
    model: { type: 'BPE', unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: ignoreMerges ?? false, vocab: idsOf(tokens), merges },
  };
}

function sentencePiece(vocabulary: Vocabulary): Sections {
  const { tokens, types, metadata } = vocabulary;
  const prefix = metadata.get('tokenizer.ggml.add_space_prefix') !== false;
  const marks = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const unknown = types.indexOf(TOKEN_TYPE.unknown);
  return {
    normalizer: prefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, marks] } : marks,
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      type: 'BPE', dropout: null, unk_token: unknown < 0 ? null : tokens[unknown], continuing_subword_prefix: null, end_of_word_suffix: null,
      fuse_unk: true, byte_fallback: true, ignore_merges: false, vocab: idsOf(tokens), merges: mergesOfScores(vocabulary),
    },
  };
}

/**
 * SentencePiece merges the neighbours whose joined token has the highest score. The same as merges: every
 * way to cut a token into two tokens, ordered by the token's score.
 */
function mergesOfScores({ file, tokens, types, metadata }: Vocabulary): string[][] {
  const scores = list(file, metadata, 'scores', 'number');
  if (scores?.length !== tokens.length) throw new CheckpointError(`${file} has ${tokens.length} tokens but ${scores?.length ?? 0} scores`);
  const ids = new Map<string, number>();
  tokens.forEach((token, id) => { if (types[id] === TOKEN_TYPE.normal) ids.set(token, id); });
  const found: { id: number; left: string; right: string }[] = [];
  for (const [token, id] of ids) {
    for (let at = 1; at < token.length; at++) {
      if (isLowSurrogate(token.charCodeAt(at))) continue;
      const [left, right] = [token.slice(0, at), token.slice(at)];
      if (ids.has(left) && ids.has(right)) found.push({ id, left, right });
    }
  }
  // Within a token by the parts' ids, as transformers' converter orders them.
  found.sort((a, b) => scores[b.id] - scores[a.id] || a.id - b.id || ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
  return found.map(({ left, right }) => [left, right]);
}

const isLowSurrogate = (code: number): boolean => code >= 0xdc00 && code <= 0xdfff;
