/** What the tokenizer tests share: files in memory, files on disk, and the real tokenizers where they are at hand. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tokenizerFromFiles, type TextFiles, type Tokenizer } from '../../src/tokenizer/index.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Real tokenizers are too large to commit; they lie beside the repository. */
export const assets = join(repository, '../shared/assets');
export const hasAssets = existsSync(join(assets, 'tokenizers'));
export const whySkipped = hasAssets ? '' : ' (skipped: ../shared/assets/tokenizers is not there)';

export const directory = (path: string): TextFiles => ({
  name: path,
  read: (fileName) => readFile(join(path, fileName)).catch(() => undefined),
});

/** Files made in a test; values that are not text or bytes are written as JSON. */
export function memory(contents: Record<string, unknown>): TextFiles {
  return {
    name: 'test-model',
    read: async (fileName) => {
      const content = contents[fileName];
      if (content === undefined || content instanceof Uint8Array) return content;
      return new TextEncoder().encode(typeof content === 'string' ? content : JSON.stringify(content));
    },
  };
}

/** A tokenizer that must be there. */
export async function load(files: TextFiles): Promise<Tokenizer> {
  const tokenizer = await tokenizerFromFiles(files);
  if (!tokenizer) throw new Error(`${files.name}: no tokenizer`);
  return tokenizer;
}

/** A real tokenizer by its name in tests/data/tokenizers.json. */
export function realTokenizer(name: string): Promise<Tokenizer> {
  return load(directory(join(assets, name === 'llama2' ? 'checkpoints/stories15M' : `tokenizers/${name}`)));
}

/** Decodes ids one at a time. */
export function streamed(tokenizer: Tokenizer, ids: readonly number[], skipSpecialTokens = false): string[] {
  const stream = tokenizer.stream({ skipSpecialTokens });
  return [...ids.map((id) => stream.push(id)), stream.end()];
}
