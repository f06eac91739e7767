/**
 * The families that publish tiktoken rank files instead of a tokenizer.json. A rank file holds tokens
 * and ranks only; the split pattern and the special tokens are facts of the family, and this table is
 * the one place that holds them. A family is told by what is declared: the tokenizer class in
 * tokenizer_config.json, or else the file's name and its number of ranks.
 *
 * Sources: Kimi K2's tokenization_kimi.py; meta-llama/llama-models, models/llama4/tokenizer.py.
 */

export interface RankFamily {
  readonly name: string;
  readonly fileName: string;
  /** `tokenizer_class` values that mean this family, whatever the number of ranks. */
  readonly tokenizerClasses: readonly string[];
  readonly rankCount: number;
  /** Splits a text into words. */
  readonly pattern: RegExp;
  /** Special tokens in order; the first has the id that follows the last rank. */
  specialTokens(rankCount: number): readonly string[];
  /** Roles, where tokenizer_config.json does not give them. */
  readonly bosToken: string;
  readonly eosToken: string;
  /** Whether a text starts with BOS, where tokenizer_config.json does not say. */
  readonly addsBosToken: boolean;
}

// Written for the `v` flag, which has set intersection. `\s` is spelled out because JavaScript's has
// U+FEFF and lacks U+0085; `(?i:…)` because not every supported engine knows it ("ſ" folds to "s").
const SPACE = '\\p{White_Space}';
const CONTRACTION = "(?:'[sSſ]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?";
const UPPER = '\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}';
const LOWER = '\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}';

/** Words of o200k: an optional leading mark, capitals, small letters, a contraction. */
function casedWords(upper: string, lower: string): string[] {
  const lead = '[^\\r\\n\\p{L}\\p{N}]?';
  return [`${lead}${upper}*${lower}+${CONTRACTION}`, `${lead}${upper}+${lower}*${CONTRACTION}`];
}

function pattern(words: readonly string[], marksEnd: string): RegExp {
  const others = [
    '\\p{N}{1,3}',
    ` ?[^${SPACE}\\p{L}\\p{N}]+[${marksEnd}]*`,
    `${SPACE}*[\\r\\n]+`,
    `${SPACE}+(?!\\P{White_Space})`,
    `${SPACE}+`,
  ];
  return new RegExp([...words, ...others].join('|'), 'gv');
}

const numbered = (count: number, from: number, name: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => name(from + i));

const kimi: RankFamily = {
  name: 'Kimi',
  fileName: 'tiktoken.model',
  tokenizerClasses: ['TikTokenTokenizer'],
  rankCount: 163_584,
  pattern: pattern(
    ['\\p{Script=Han}+', ...casedWords(`[[${UPPER}]&&[^\\p{Script=Han}]]`, `[[${LOWER}]&&[^\\p{Script=Han}]]`)],
    '\\r\\n',
  ),
  specialTokens(rankCount) {
    const named = new Map([
      [0, '[BOS]'],
      [1, '[EOS]'],
      [2, '<|im_end|>'],
      [3, '<|im_user|>'],
      [4, '<|im_assistant|>'],
      [6, '<|start_header_id|>'],
      [7, '<|end_header_id|>'],
      [9, '[EOT]'],
      [10, '<|im_system|>'],
      [11, '<|tool_calls_section_begin|>'],
      [12, '<|tool_calls_section_end|>'],
      [13, '<|tool_call_begin|>'],
      [14, '<|tool_call_argument_begin|>'],
      [15, '<|tool_call_end|>'],
      [17, '<|im_middle|>'],
      [254, '[UNK]'],
      [255, '[PAD]'],
    ]);
    return numbered(256, 0, (i) => named.get(i) ?? `<|reserved_token_${rankCount + i}|>`);
  },
  bosToken: '[BOS]',
  eosToken: '[EOS]',
  addsBosToken: false,
};

const llama4: RankFamily = {
  name: 'Llama 4',
  fileName: 'tokenizer.model',
  tokenizerClasses: [],
  rankCount: 200_000,
  pattern: pattern(casedWords(`[${UPPER}]`, `[${LOWER}]`), '\\r\\n\\/'),
  specialTokens() {
    const text = (i: number) => `<|text_post_train_reserved_special_token_${i}|>`;
    const vision = (i: number) => `<|vision_reserved_special_token_${i}|>`;
    const named = [
      ...['<|begin_of_text|>', '<|end_of_text|>', '<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>'],
      ...['<|header_start|>', '<|header_end|>', '<|eom|>', '<|eot|>', '<|step|>'],
      ...numbered(6, 0, text),
      ...['<|python_start|>', '<|python_end|>', '<|finetune_right_pad|>'],
      ...numbered(61, 8, text), // the numbering skips 6 and 7
      ...['<|image_start|>', '<|image_end|>', vision(0), vision(1), '<|tile_x_separator|>', '<|tile_y_separator|>'],
      ...numbered(4, 2, vision),
      ...['<|image|>', vision(6), '<|patch|>'],
      ...numbered(1041, 7, vision),
      ...numbered(8, 0, (i) => `<|reasoning_reserved_special_token_${i}|>`),
      ...['<|reasoning_thinking_start|>', '<|reasoning_thinking_end|>'],
    ];
    return [...named, ...numbered(2048 - named.length, 0, (i) => `<|reserved_special_token_${i}|>`)];
  },
  bosToken: '<|begin_of_text|>',
  eosToken: '<|end_of_text|>',
  addsBosToken: true,
};

export const rankFamilies: readonly RankFamily[] = [kimi, llama4];

/**
 * Finds the family that a rank file belongs to.
 * @throws when no family fits, listing those that are known.
 */
export function findRankFamily(fileName: string, rankCount: number, tokenizerClass: string | undefined): RankFamily {
  const family =
    rankFamilies.find(({ tokenizerClasses }) => tokenizerClass !== undefined && tokenizerClasses.includes(tokenizerClass)) ??
    rankFamilies.find((known) => known.fileName === fileName && known.rankCount === rankCount);
  if (family) return family;
  const known = rankFamilies.map((each) => `${each.name}: ${each.fileName} with ${each.rankCount} ranks`).join('; ');
  throw new Error(`its ${rankCount} ranks fit no known family (${known}); use a checkpoint that has a tokenizer.json.`);
}
