// Where tests find reference models, and how they compare numbers.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSafetensors, toFloat32 } from '../src/checkpoint/index.js';
import { loadModel } from '../src/index.js';
import type { LoadOptions, Model } from '../src/index.js';

export { noise, relativeError } from './numbers.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Reference results and real checkpoints that are not part of the repository. */
export const shared = join(root, '..', 'shared');
export const hasShared = existsSync(shared);

/** The directory of a reference model: in the repository, else beside it; undefined: nowhere. */
export function modelDirectory(name: string): string | undefined {
  return [join(root, 'tests/data/models', name), join(shared, 'reference/models', name)].find((path) => existsSync(path));
}

/** A test title for a reference model, saying why it is skipped where it is. */
export function titled(name: string): string {
  return modelDirectory(name) ? name : `${name} (needs ../shared)`;
}

/** Loads a reference model that must be there. */
export function loadReference(name: string, options: LoadOptions = {}): Promise<Model> {
  return loadModel(modelDirectory(name)!, { backend: 'reference', ...options });
}

/** Every array of a safetensors file as float32. */
export async function readArrays(path: string): Promise<Map<string, { data: Float32Array; shape: readonly number[] }>> {
  const file = await readSafetensors(path);
  try {
    const entries = await Promise.all([...file.tensors.values()].map(async (t) => [t.name, { data: toFloat32(t.dtype, await t.read()).slice(), shape: t.shape }] as const));
    return new Map(entries);
  } finally {
    await file.close();
  }
}

/** A file of reference results: in the repository, else beside it. */
export function dataFile(name: string): string {
  const own = join(root, 'tests/data', name);
  return existsSync(own) ? own : join(shared, 'reference', name);
}
