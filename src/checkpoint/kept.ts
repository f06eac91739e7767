// What a browser keeps of the files that were loaded by URL or hub id: listed and removed.

import { platform } from '../platform/index.js';
import type { CachedFileInfo, FileCache } from '../platform/index.js';

async function cache(): Promise<FileCache> {
  const { cache: found, name } = await platform();
  if (found) return found;
  throw new Error(name === 'node' ? "Node keeps hub models in the hub's own cache (HF_HOME), and nothing of other addresses" : 'this page has no storage to keep files in: serve it over https or from localhost');
}

/** The files of this site's storage: address, size, how many bytes are kept, when it was last loaded from. */
export async function listCachedFiles(): Promise<CachedFileInfo[]> {
  return (await cache()).list();
}

/**
 * Removes a file by its address, or all of them; resolves to the bytes that this frees. A file that a
 * model is just being loaded from stays.
 */
export async function removeCachedFiles(url?: string): Promise<number> {
  return (await cache()).remove(url);
}
