/**
 * Where `@huggingface/tokenizers` 0.2.0 encodes differently from the `tokenizers` crate, the
 * tokenizer.json is rewritten, before the library sees it, into an equal one that it reads rightly.
 * Every known difference is in this file; tests/tokenizer/corrections.test.ts has a case for each.
 * (Decoding is our own, decoder.ts, so the library's decoder needs no mending.)
 */
import { isObject, type JsonObject } from './files.js';
import { escapePattern } from './pattern.js';

/** GPT-2's word pattern, which the ByteLevel pre-tokenizer implies. */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A copy of tokenizer.json's content that makes the library encode as the reference does. */
export function correctTokenizerJson(json: JsonObject): JsonObject {
  const whole = json.pre_tokenizer === null || json.pre_tokenizer === undefined;
  return { ...json, pre_tokenizer: whole ? cutBeforeSpaces(json.model) : correctPreTokenizer(json.pre_tokenizer) };
}

/**
 * SentencePiece vocabularies have no pre-tokenizer: a whole text is one word, which takes the library 16 s
 * for a megabyte. Where no merge joins anything to a following space mark, cutting there changes no id.
 */
function cutBeforeSpaces(model: unknown): unknown {
  if (!isObject(model) || model.type !== 'BPE' || model.ignore_merges || !Array.isArray(model.merges)) return null;
  const joined = (merge: unknown) => (Array.isArray(merge) ? merge.join('') : String(merge).replace(' ', ''));
  return model.merges.some((merge) => /[^▁]▁/u.test(joined(merge))) ? null : split('▁+[^▁]*|[^▁]+');
}

function correctPreTokenizer(config: unknown): unknown {
  if (!isObject(config)) return config;
  switch (config.type) {
    case 'Sequence':
      return { ...config, pretokenizers: (config.pretokenizers as unknown[]).map(correctPreTokenizer) };
    case 'Digits':
      return split(config.individual_digits ? '\\p{N}' : '\\p{N}+');
    case 'ByteLevel':
      return correctByteLevel(config);
    case 'Metaspace':
      return config.split === false ? config : sequence(config, split(beforeEach(String(config.replacement ?? '▁'))));
    case 'Split':
      return correctSplit(config);
    default:
      return config;
  }
}

const split = (regex: string) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });

const sequence = (...pretokenizers: unknown[]) => ({ type: 'Sequence', pretokenizers });

/**
 * The library splits with JavaScript's `\s`, which has U+FEFF and lacks U+0085; its Split rewrites `\s`
 * to Unicode's White_Space. With add_prefix_space the space must come before splitting: left as it is.
 */
function correctByteLevel(config: JsonObject): unknown {
  if (config.use_regex === false || config.add_prefix_space) return config;
  return sequence(split(GPT2_PATTERN), { ...config, use_regex: false });
}

/** Metaspace cuts before every mark unless told not to; the library never cuts. */
const beforeEach = (mark: string) => mergedWithNext(escapePattern(mark));

/**
 * The library isolates every match, whatever the behavior, keeps a literal pattern that is to be removed,
 * and drops what lies between the matches of an inverted one, which is right for Removed only.
 */
function correctSplit(config: JsonObject): unknown {
  const pattern = config.pattern as { Regex?: string; String?: string };
  if (config.invert) return config.behavior === 'Isolated' ? { ...config, invert: false } : config;
  const match = `(?:${pattern.Regex ?? escapePattern(String(pattern.String))})`;
  switch (config.behavior) {
    case 'Removed':
      return { ...config, pattern: { Regex: match } };
    case 'MergedWithPrevious':
      return split(`${until(match)}${match}?|${match}`);
    case 'MergedWithNext':
      return split(mergedWithNext(match));
    case 'Contiguous':
      return split(`${match}+|${until(match)}`);
    default:
      return config;
  }
}

const until = (match: string) => `(?:(?!${match})[\\s\\S])+`;
const mergedWithNext = (match: string) => `${match}${until(match)}|${match}|${until(match)}`;
