/**
 * tokenizer_config.json (and the older special_tokens_map.json): which tokens play which role, and what
 * is put around a text. Only what a tokenizer needs; everything else in the file is ignored.
 */
import { isObject, readJson, type JsonObject, type LoadedFiles } from './files.js';
import type { AddedToken } from './vocabulary.js';

export interface TokenizerConfig {
  readonly tokenizerClass: string | undefined;
  /** `bos_token`, `eos_token`, … by name: the variables that a chat template may use. */
  readonly namedTokens: ReadonlyMap<string, string>;
  /** `additional_special_tokens`. */
  readonly additionalSpecialTokens: readonly string[];
  /** `added_tokens_decoder`. */
  readonly addedTokens: readonly AddedToken[];
  /** Undefined where the file does not say: then the vocabulary's own rule holds. */
  readonly addBosToken: boolean | undefined;
  readonly addEosToken: boolean | undefined;
  /** `chat_template`: a text, or a list of named ones. */
  readonly chatTemplate: unknown;
}

/** Reads the configuration; every field is empty when the files are missing. */
export function readTokenizerConfig(files: LoadedFiles): TokenizerConfig {
  const older = readJson(files, 'special_tokens_map.json') ?? {};
  const config = readJson(files, 'tokenizer_config.json') ?? {};
  return parseTokenizerConfig({ ...older, ...withoutNull(config) });
}

/** Understands the content of a tokenizer_config.json. */
export function parseTokenizerConfig(config: JsonObject): TokenizerConfig {
  const namedTokens = new Map<string, string>();
  for (const [key, value] of Object.entries(config)) {
    const token = key.endsWith('_token') ? tokenContent(value) : undefined;
    if (token !== undefined) namedTokens.set(key, token);
  }
  const additional = config.additional_special_tokens;
  return {
    tokenizerClass: typeof config.tokenizer_class === 'string' ? config.tokenizer_class : undefined,
    namedTokens,
    additionalSpecialTokens: (Array.isArray(additional) ? additional : []).flatMap((token) => tokenContent(token) ?? []),
    addedTokens: parseAddedTokens(config.added_tokens_decoder),
    addBosToken: typeof config.add_bos_token === 'boolean' ? config.add_bos_token : undefined,
    addEosToken: typeof config.add_eos_token === 'boolean' ? config.add_eos_token : undefined,
    chatTemplate: config.chat_template,
  };
}

/** A token is written as text or as an object with `content`. `add_bos_token` and the like are neither. */
function tokenContent(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return isObject(value) && typeof value.content === 'string' ? value.content : undefined;
}

function parseAddedTokens(decoder: unknown): AddedToken[] {
  if (!isObject(decoder)) return [];
  return Object.entries(decoder).flatMap(([id, token]) => {
    const content = tokenContent(token);
    const special = isObject(token) && token.special === true;
    return content === undefined ? [] : [{ id: Number(id), content, special }];
  });
}

/** In tokenizer_config.json null means "not set", which must not hide what the older file says. */
function withoutNull(config: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(config).filter(([, value]) => value !== null));
}
