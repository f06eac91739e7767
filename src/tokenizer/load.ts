/**
 * A tokenizer from a checkpoint's files: tokenizer.json where there is one, else a rank file that
 * rank_families.ts knows. What cannot be read is refused in one sentence that says what is missing.
 */
import { readChatTemplates } from './chat_template.js';
import { readTokenizerConfig, type TokenizerConfig } from './config.js';
import { loadFiles, readJson, type LoadedFiles, type TextFiles } from './files.js';
import { vocabularyFromJson } from './hub_json.js';
import { findRankFamily, rankFamilies, type RankFamily } from './rank_families.js';
import { isRankFile, parseRanks, vocabularyFromRanks } from './rank_file.js';
import { createTokenizer, type Tokenizer } from './tokenizer.js';
import type { Vocabulary } from './vocabulary.js';

/** Formats that need conversion first: looked for only where nothing else is. */
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
  const tokenizer = tokenizerFromLoaded(await loadFiles(files));
  if (tokenizer) return tokenizer;
  for (const { fileName, what } of unsupported) {
    if (await files.read(fileName)) throw new Error(`${files.name}: ${fileName} is ${what}; tokenizer.json is needed beside it.`);
  }
  return undefined;
}

/** The same from files that are in memory: all the work, without a pause. */
export function tokenizerFromLoaded(files: LoadedFiles): Tokenizer | undefined {
  const config = readTokenizerConfig(files);
  const found = fromTokenizerJson(files, config) ?? fromRankFile(files, config);
  return found && createTokenizer({ ...found, templates: readChatTemplates(files, config.chatTemplate), files });
}

interface Found {
  readonly vocabulary: Vocabulary;
  readonly config: TokenizerConfig;
}

function fromTokenizerJson(files: LoadedFiles, config: TokenizerConfig): Found | undefined {
  const json = readJson(files, 'tokenizer.json');
  if (!json) return undefined;
  return { config, vocabulary: described(files, 'tokenizer.json', () => vocabularyFromJson(json, config.addedTokens)) };
}

function fromRankFile(files: LoadedFiles, config: TokenizerConfig): Found | undefined {
  for (const fileName of new Set(rankFamilies.map((family) => family.fileName))) {
    const bytes = files.contents.get(fileName);
    if (!(bytes instanceof Uint8Array) || !isRankFile(bytes)) continue;
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
function described<T>(files: LoadedFiles, fileName: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw new Error(`${files.name}: ${fileName} cannot be used: ${(error as Error).message}`, { cause: error });
  }
}
