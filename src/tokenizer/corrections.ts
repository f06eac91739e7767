/**
 * Where `@huggingface/tokenizers` 0.2.0 encodes differently from the `tokenizers` crate, the
 * tokenizer.json is rewritten, before the library sees it, into an equal one that it reads rightly.
 * Every known difference is in this file; tests/tokenizer/corrections.test.ts has a case for each.
 * (Decoding is our own, decoder.ts, so the library's decoder needs no mending.)
 */
import { isObject, type JsonObject } from './files.js';

/** GPT-2's word pattern, which the ByteLevel pre-tokenizer implies. */
const GPT2_PATTERN = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** A copy of tokenizer.json's content that makes the library encode as the reference does. */
export function correctTokenizerJson(json: JsonObject): JsonObject {
  return { ...json, pre_tokenizer: correctPreTokenizer(json.pre_tokenizer) };
}

function correctPreTokenizer(config: unknown): unknown {
  if (!isObject(config)) return config ?? null;
  switch (config.type) {
    case 'Sequence':
      return { ...config, pretokenizers: (config.pretokenizers as unknown[]).map(correctPreTokenizer) };
    case 'Digits':
      return split(config.individual_digits ? '\\p{N}' : '\\p{N}+');
    case 'ByteLevel':
      return correctByteLevel(config);
    case 'Metaspace':
      return correctMetaspace(config);
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

/** The library does not know the older `add_prefix_space: false`, nor that `split` (the default) cuts before every mark. */
function correctMetaspace(config: JsonObject): unknown {
  const mark = String(config.replacement ?? '▁').replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
  const known = config.prepend_scheme === undefined && config.add_prefix_space === false ? { ...config, prepend_scheme: 'never' } : config;
  return config.split === false ? known : sequence(known, split(`${mark}[^${mark}]*|[^${mark}]+`));
}
