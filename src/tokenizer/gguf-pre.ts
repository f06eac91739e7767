/**
 * The ways in which GGUF vocabularies of byte-level BPE split a text into words, by the names that
 * `tokenizer.ggml.pre` has for them, and the rules that go with each. The patterns are those of the
 * models' own tokenizer.json files; the names are llama.cpp's. Names that only other kinds of model use
 * are not here: their vocabularies are refused by name.
 */

export interface PreTokenizer {
  /** The first is the one that is written. */
  readonly names: readonly string[];
  /** Applied one after the other, each to what those before left between their matches. */
  readonly splits: readonly string[];
  /** A word that is a token is that token, whatever the merges say. */
  readonly ignoreMerges?: true;
  /** A text starts with BOS where the file does not say. */
  readonly addsBos?: true;
  /** Texts are normalised to this Unicode form first. */
  readonly normalizer?: 'NFC';
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const CONTRACTION = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const REST = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
/** cl100k's pattern with its digits in runs of up to `digits`. */
const cl100k = (digits: string): string => `${CONTRACTION}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${REST}`;

const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
/** o200k's: words told by their capitals. */
const cased = (upper: string, lower: string, contraction: string, digits: string, marksEnd: string): string => {
  const lead = '[^\\r\\n\\p{L}\\p{N}]?';
  return `${lead}${upper}*${lower}+${contraction}|${lead}${upper}+${lower}*${contraction}|\\p{N}${digits}| ?[^\\s\\p{L}\\p{N}]+[${marksEnd}]*|${REST}`;
};
const notHan = (set: string): string => `(?:(?!\\p{Script=Han})${set})`;

/** Letters with case as of the Unicode version that DeepSeek's first tokenizer was made with. */
const DEEPSEEK_CASED = ''
  + 'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ'
  + '-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰'
  + '-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';

export const PRE_TOKENIZERS: readonly PreTokenizer[] = [
  { names: ['gpt-2', 'phi-2', 'mpt', 'olmo', 'jais', 'trillion', 'exaone4', 'gigachat'], splits: [GPT2] },
  { names: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral'], splits: [cl100k('{1,3}')], ignoreMerges: true, addsBos: true },
  { names: ['dbrx', 'smaug-bpe', 'glm4', 'chatglm-bpe'], splits: [cl100k('{1,3}')] },
  { names: ['qwen2', 'deepseek-r1-qwen', 'megrez', 'hunyuan'], splits: [cl100k('')], normalizer: 'NFC' },
  { names: ['stablelm2'], splits: [cl100k('')] },
  { names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'], splits: ['\\p{N}', GPT2] },
  { names: ['tekken'], splits: [cased(UPPER, LOWER, '', '', '\\r\\n/')], ignoreMerges: true, addsBos: true },
  { names: ['gpt-4o', 'llama4', 'kanana2'], splits: [cased(UPPER, LOWER, `${CONTRACTION}?`, '{1,3}', '\\r\\n/')] },
  { names: ['kimi-k2'], splits: [`\\p{Script=Han}+|${cased(notHan(UPPER), notHan(LOWER), `${CONTRACTION}?`, '{1,3}', '\\r\\n')}`] },
  {
    names: ['deepseek-v3'],
    splits: [
      '\\p{N}{1,3}', '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+',
      '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
    ],
  },
  {
    names: ['deepseek-llm'],
    splits: ['[\\r\\n]', `\\s?[${DEEPSEEK_CASED}]+`, '\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+', '\\s+$', '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+', '\\p{N}+'],
  },
  { names: ['deepseek-coder'], splits: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+', '\\p{N}'] },
  { names: ['falcon'], splits: ['[\\p{P}\\$\\+<=>\\^~\\|`]+', GPT2, '[0-9][0-9][0-9]'] },
  { names: ['default'], splits: ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'] },
];
