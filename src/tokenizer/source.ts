// The tokenizer of anything that `loadModel` takes: a directory, a hub id, a URL, files.

import { isGgufDirectory, resolveSource } from '../checkpoint/index.js';
import type { CheckpointSource, Directory } from '../checkpoint/index.js';
import type { TextFiles } from './files.js';
import { tokenizerFileNames } from './files.js';
import { ggufTokenizerFiles } from './gguf.js';
import { tokenizerFromFiles } from './load.js';
import type { Tokenizer } from './tokenizer.js';

/** A directory's files, read whole: tokenizer files are at most some tens of megabytes. */
export function textFiles(directory: Directory): TextFiles {
  if (isGgufDirectory(directory)) return ggufTokenizerFiles(directory.gguf);
  return {
    name: directory.name,
    async read(fileName) {
      const source = await directory.open(fileName);
      if (!source) return undefined;
      try {
        return await source.read(0, source.size);
      } finally {
        await source.close();
      }
    },
  };
}

/**
 * Loads the tokenizer of a checkpoint directory, a hub id or files.
 * Rejects with one line when there is none or when it is damaged.
 */
export async function loadTokenizer(source: CheckpointSource, options: { revision?: string; signal?: AbortSignal } = {}): Promise<Tokenizer> {
  const directory = await resolveSource(source, { ...options, files: (name) => tokenizerFileNames.includes(name) });
  try {
    const tokenizer = await tokenizerFromFiles(textFiles(directory));
    if (!tokenizer) throw new Error(`${directory.name} has no tokenizer (${tokenizerFileNames.slice(0, 3).join(', ')})`);
    return tokenizer;
  } finally {
    await directory.close();
  }
}
