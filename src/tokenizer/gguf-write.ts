/**
 * A checkpoint's tokenizer as the metadata that llama.cpp reads: `gguf.ts` the other way round. From
 * tokenizer.json only; of what llama.cpp decides by a name (how words are split) the name is found by
 * comparing patterns.
 */
import { CheckpointError } from '../checkpoint/error.js';
import type { WritableValue } from '../checkpoint/index.js';
import { readTokenizerConfig } from './config.js';
import { isObject, loadFiles, readJson, type JsonObject, type TextFiles } from './files.js';
import { TOKEN_TYPE } from './gguf.js';
import { PRE_TOKENIZERS } from './gguf-pre.js';
import { tokenizerFromFiles } from './load.js';

type Entries = [key: string, value: WritableValue][];

/**
 * `tokenizer.*` metadata for `convertToGguf`.
 * @param rows rows of the embedding table: ids that no token has are filled up to it.
 * @returns undefined when the place has no tokenizer.
 * @throws when it is of a kind that GGUF has no name for.
 */
export async function ggufTokenizerMetadata(files: TextFiles, rows: number): Promise<Entries | undefined> {
  const tokenizer = await tokenizerFromFiles(files);
  if (!tokenizer) return undefined;
  const loaded = await loadFiles(files);
  const json = readJson(loaded, 'tokenizer.json');
  const model = json?.model;
  if (!isObject(model) || model.type !== 'BPE' || !isObject(model.vocab) || !Array.isArray(model.merges)) throw unsupported(files, 'it is not BPE in a tokenizer.json');
  const { tokens, types } = tokenTable(json!, model, rows);
  const merges = (model.merges as (string | [string, string])[]).map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  const kind: Entries = model.byte_fallback === true
    ? [['tokenizer.ggml.model', 'llama'], ['tokenizer.ggml.pre', 'default'], ['tokenizer.ggml.scores', scoresOf(tokens, model.merges as unknown[])], ['tokenizer.ggml.add_space_prefix', putsSpace(json!)]]
    : [['tokenizer.ggml.model', 'gpt2'], ['tokenizer.ggml.pre', preName(files, json!, model)], ['tokenizer.ggml.merges', { type: 'array', of: 'string', values: merges }]];
  const { namedTokens } = readTokenizerConfig(loaded);
  const named = (role: string): number | undefined => { const token = namedTokens.get(role); return token === undefined ? undefined : tokenizer.tokenToId(token); };
  const [framed, plain] = [tokenizer.encode('a'), tokenizer.encode('a', { addSpecialTokens: false })];
  const id = (key: string, value: number | undefined): Entries => (value === undefined ? [] : [[`tokenizer.ggml.${key}_token_id`, { type: 'uint32', value }]]);
  const { bosTokenId: bos, eosTokenId: eos, endOfTurnIds } = tokenizer;
  return [
    ...kind,
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: tokens }],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', values: types }],
    ...id('bos', bos), ...id('eos', eos), ...id('unknown', named('unk_token')), ...id('padding', named('pad_token')), ...id('eot', endOfTurnIds.find((each) => each !== eos)),
    ['tokenizer.ggml.add_bos_token', bos !== undefined && framed[0] === bos && plain[0] !== bos],
    ['tokenizer.ggml.add_eos_token', eos !== undefined && framed.at(-1) === eos && plain.at(-1) !== eos],
    ...(tokenizer.chatTemplate === undefined ? [] : [['tokenizer.chat_template', tokenizer.chatTemplate] as [string, WritableValue]]),
  ];
}

const unsupported = (files: TextFiles, why: string): CheckpointError => new CheckpointError(`${files.name}: its tokenizer cannot be written to GGUF: ${why}`);

/** Every id's text and type; llama.cpp wants no gaps and no text twice. */
function tokenTable(json: JsonObject, model: JsonObject, rows: number): { tokens: string[]; types: number[] } {
  const tokens: string[] = [];
  const types: number[] = [];
  for (const [token, id] of Object.entries(model.vocab as Record<string, number>)) {
    tokens[id] = token;
    types[id] = model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token) ? TOKEN_TYPE.byte : TOKEN_TYPE.normal;
  }
  for (const { id, content, special } of (json.added_tokens ?? []) as { id: number; content: string; special: boolean }[]) {
    const defined = !special && content !== model.unk_token;
    // llama.cpp looks for these in the text as it is, before spaces become marks.
    tokens[id] = defined && model.byte_fallback === true ? content.replaceAll('▁', ' ') : content;
    types[id] = content === model.unk_token ? TOKEN_TYPE.unknown : special ? TOKEN_TYPE.control : TOKEN_TYPE.userDefined;
  }
  for (let id = 0; id < Math.max(rows, tokens.length); id++) {
    if (tokens[id] !== undefined) continue;
    tokens[id] = `[PAD${id}]`;
    types[id] = TOKEN_TYPE.unused;
  }
  return { tokens, types };
}

/** SentencePiece's scores again: a token merges the sooner, the earlier its first merge stands. */
function scoresOf(tokens: readonly string[], merges: readonly unknown[]): WritableValue {
  const first = new Map<string, number>();
  merges.forEach((merge, rank) => {
    const token = Array.isArray(merge) ? merge.join('') : String(merge).replace(' ', '');
    if (!first.has(token)) first.set(token, rank);
  });
  // Float32 counts exactly to 2^24, and no list of merges is that long.
  return { type: 'array', of: 'float32', values: tokens.map((token) => -(first.get(token) ?? 0)) };
}

/** Whether a space is put before a text: Llama's normalizer, or Metaspace in newer files. */
function putsSpace(json: JsonObject): boolean {
  const sections = JSON.stringify([json.normalizer, json.pre_tokenizer]);
  return /"type":"Prepend"|"prepend_scheme":"(first|always)"|"add_prefix_space":true/.test(sections);
}

function preName(files: TextFiles, json: JsonObject, model: JsonObject): string {
  const own = splitsOf(json.pre_tokenizer).map(normal);
  const ignores = model.ignore_merges === true;
  const matches = PRE_TOKENIZERS.filter(({ splits }) => splits.length === own.length && splits.every((split, i) => normal(split) === own[i]));
  const found = matches.find((pre) => (pre.ignoreMerges ?? false) === ignores);
  if (found) return found.names[0];
  throw unsupported(files, 'llama.cpp has no name for the way in which it splits words');
}

/** The patterns of a pre_tokenizer section, in order. */
function splitsOf(section: unknown): string[] {
  if (!isObject(section)) return [];
  switch (section.type) {
    case 'Sequence': return (section.pretokenizers as unknown[]).flatMap(splitsOf);
    case 'Split': return isObject(section.pattern) ? [String(section.pattern.Regex ?? section.pattern.String)] : [];
    case 'Digits': return [section.individual_digits === true ? '\\p{N}' : '\\p{N}+'];
    case 'ByteLevel': return section.use_regex === false ? [] : [PRE_TOKENIZERS[0].splits[0]];
    default: return [`(${String(section.type)})`];
  }
}

/** Line breaks are written in two ways, and so is the script of Chinese characters. */
const normal = (pattern: string): string => pattern.replaceAll('\r', '\\r').replaceAll('\n', '\\n').replaceAll('\\p{Han}', '\\p{Script=Han}');
