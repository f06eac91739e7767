// `zoo:<name>`: the small siblings that come with the package, a GGUF file each, trained by
// scripts/zoo. A name is looked up among the files that are there, never joined to a path.

import { platform } from '../platform/index.js';
import type { Directory } from '../platform/index.js';
import { CheckpointError, quoted } from './error.js';
import { openGgufDirectory } from './gguf/checkpoint.js';

const PREFIX = 'zoo:';
const ENDING = '.gguf';

export const isZooName = (source: string): boolean => source.startsWith(PREFIX);

/** The folder beside the code, in the repository as in the installed package; undefined where code cannot reach files. */
async function openZoo(): Promise<Directory | undefined> {
  const { files } = await platform();
  const path = files?.fromUrl(new URL('../../zoo', import.meta.url).href);
  return path !== undefined && (await files!.stat(path))?.kind === 'directory' ? files!.openDirectory(path) : undefined;
}

/** What can be loaded, as `zoo:<name>`, in the order of the names; empty where the package has no zoo. */
export async function zooNames(): Promise<readonly string[]> {
  const zoo = await openZoo();
  try {
    return (await zoo?.list() ?? []).filter((file) => file.endsWith(ENDING)).map((file) => PREFIX + file.slice(0, -ENDING.length));
  } finally {
    await zoo?.close();
  }
}

/** The directory that stands for a sibling's file, which is called by its name. */
export async function openZooSibling(name: string): Promise<Directory> {
  const names = await zooNames();
  if (!names.includes(name)) throw new CheckpointError(names.length > 0 ? `the zoo has no ${quoted(name)}: there are ${names.join(', ')}` : `${quoted(name)} is a file of the installed package, and there is none here`);
  const zoo = (await openZoo())!;
  const file = (await zoo.open(name.slice(PREFIX.length) + ENDING))!;
  return openGgufDirectory({ ...file, name }, undefined, zoo);
}
