// Where tests find reference models, and how they compare numbers.

import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSafetensors, toFloat32 } from '../src/checkpoint/index.js';
import { loadModel } from '../src/index.js';
import type { LoadOptions, Model } from '../src/index.js';

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

/** Largest difference, relative to the largest expected magnitude. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) throw new Error(`${got.length} numbers, expected ${want.length}`);
  let [largest, error] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    largest = Math.max(largest, Math.abs(want[i]));
    const difference = Math.abs(got[i] - want[i]);
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
  }
  return error / Math.max(largest, 1e-30);
}

/** Numbers that look random and are the same every time. */
export function noise(count: number, seed = 1): Float32Array {
  let state = seed * 7919 + 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state / 0x7fffffff) * 2 - 1;
  });
}
