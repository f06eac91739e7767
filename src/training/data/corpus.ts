// Text as one long row of token ids, tokenised once and kept in a file of its own: END_OF_TEXT before
// each document and after the last. The file's name tells the texts and the tokenizer it was made of,
// so that a change of either makes a new one.

import { platform } from '../../platform/index.js';
import type { LocalFiles } from '../../platform/index.js';
import { END_OF_TEXT } from '../../tokenizer/index.js';
import type { Tokenizer } from '../../tokenizer/index.js';
import { documents } from './documents.js';

export interface CorpusOptions {
  /** Where the packed tokens are kept. */
  readonly cache: string;
  readonly onProgress?: (bytes: number) => void;
}

/** Token ids of all documents of `paths`, from the cache or made now. */
export async function packedTokens(paths: readonly string[], tokenizer: Tokenizer, { cache, onProgress }: CorpusOptions): Promise<Uint32Array> {
  const { files } = await platform();
  if (!files) throw new Error('training data is read from files, which this platform does not have');
  const file = files.join(cache, `tokens-${await fingerprint(files, paths, tokenizer)}.bin`);
  if (await files.stat(file)) {
    const source = await files.openFile(file);
    try {
      return new Uint32Array((await source.read(0, source.size)).slice().buffer);
    } finally {
      await source.close();
    }
  }
  const tokens = await encodeAll(paths, tokenizer, onProgress);
  const writer = await files.writeDirectory(cache);
  try {
    await writer.write(file.slice(cache.length + 1), new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength));
    await writer.commit();
  } catch (error) {
    await writer.discard();
    throw error;
  }
  return tokens;
}

async function encodeAll(paths: readonly string[], tokenizer: Tokenizer, onProgress?: (bytes: number) => void): Promise<Uint32Array> {
  const end = tokenizer.tokenToId(END_OF_TEXT) ?? tokenizer.eosTokenId;
  if (end === undefined) throw new Error(`the tokenizer has neither ${END_OF_TEXT} nor an end-of-sequence token to put between documents`);
  let tokens = new Uint32Array(2 ** 16);
  let count = 0;
  const push = (ids: readonly number[]) => {
    if (count + ids.length > tokens.length) {
      const grown = new Uint32Array(Math.max(tokens.length * 2, count + ids.length));
      grown.set(tokens);
      tokens = grown;
    }
    tokens.set(ids, count);
    count += ids.length;
  };
  push([end]);
  for (const path of paths) for await (const { text, ends } of documents(path, onProgress)) {
    push(tokenizer.encode(text, { addSpecialTokens: false }));
    if (ends) push([end]);
  }
  return tokens.slice(0, count);
}

async function fingerprint(files: LocalFiles, paths: readonly string[], tokenizer: Tokenizer): Promise<string> {
  const hasher = files.hasher('sha256');
  for (const [, bytes] of await tokenizer.originalFiles()) hasher.update(bytes);
  for (const path of paths) {
    hasher.update(new TextEncoder().encode(path.toLowerCase().endsWith('.jsonl') ? 'jsonl' : 'text'));
    const source = await files.openFile(path);
    try {
      for (let at = 0; at < source.size; at += 2 ** 24) hasher.update(await source.read(at, Math.min(2 ** 24, source.size - at)));
    } finally {
      await source.close();
    }
  }
  return hasher.hex().slice(0, 16);
}
