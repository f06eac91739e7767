/**
 * A tokenizer from a checkpoint's files: tokenizer.json where there is one, else a rank file that
 * rank_families.ts knows. What cannot be read is refused in one sentence that says what is missing.
 */
import { readChatTemplates } from './chat_template.js';
import { readTokenizerConfig, type TokenizerConfig } from './config.js';
import { readJson, type TextFiles } from './files.js';
import { vocabularyFromJson } from './hub_json.js';
import { findRankFamily, rankFamilies, type RankFamily } from './rank_families.js';
import { isRankFile, parseRanks, vocabularyFromRanks } from './rank_file.js';
import { createTokenizer, type Tokenizer } from './tokenizer.js';
import type { Vocabulary } from './vocabulary.js';

/** Formats that need conversion first. */
const unsupported: readonly { fileName: string; what: string }[] = [
  { fileName: 'tokenizer.model', what: 'a SentencePiece model' },
  { fileName: 'vocab.json', what: 'a vocabulary without its rules' },
  { fileName: 'tekken.json', what: 'a Tekken vocabulary' },
];

/**
 * Reads a tokenizer.
 * @returns undefined when the place holds no tokenizer file.
 * @throws when it holds one that is broken or of a format that is not supported.
 */
export async function tokenizerFromFiles(files: TextFiles): Promise<Tokenizer | undefined> {
  const config = await readTokenizerConfig(files);
  const found = (await fromTokenizerJson(files, config)) ?? (await fromRankFile(files, config));
  if (found) {
    const templates = await readChatTemplates(files, config.chatTemplate);
    return createTokenizer({ ...found, templates, files });
  }
  for (const { fileName, what } of unsupported) {
    if (await files.read(fileName)) throw new Error(`${files.name}: ${fileName} is ${what}; tokenizer.json is needed beside it.`);
  }
  return undefined;
}

interface Found {
  readonly vocabulary: Vocabulary;
  readonly config: TokenizerConfig;
}

async function fromTokenizerJson(files: TextFiles, config: TokenizerConfig): Promise<Found | undefined> {
  const json = await readJson(files, 'tokenizer.json');
  if (!json) return undefined;
  return { config, vocabulary: described(files, 'tokenizer.json', () => vocabularyFromJson(json, config.addedTokens)) };
}

async function fromRankFile(files: TextFiles, config: TokenizerConfig): Promise<Found | undefined> {
  for (const fileName of new Set(rankFamilies.map((family) => family.fileName))) {
    const bytes = await files.read(fileName);
    if (!bytes || !isRankFile(bytes)) continue;
    return described(files, fileName, () => {
      const ranks = parseRanks(bytes);
      const family = findRankFamily(fileName, ranks.size, config.tokenizerClass);
      return { config: withFamilyRoles(config, family), vocabulary: vocabularyFromRanks(ranks, family, config.addedTokens) };
    });
  }
  return undefined;
}

/** The family says what tokenizer_config.json leaves open. */
function withFamilyRoles(config: TokenizerConfig, family: RankFamily): TokenizerConfig {
  return {
    ...config,
    namedTokens: new Map([['bos_token', family.bosToken], ['eos_token', family.eosToken], ...config.namedTokens]),
    addBosToken: config.addBosToken ?? family.addsBosToken,
  };
}

/** Runs a step whose errors are the file's fault, and says so. */
function described<T>(files: TextFiles, fileName: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new Error(`${files.name}: ${fileName} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}
