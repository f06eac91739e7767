// What tests of faults share: one clear line each, and afterwards, in the same process, another model
// that loads and answers as the reference does.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { loadModel } from '../src/index.js';
import type { LoadOptions, Model } from '../src/index.js';
import { modelDirectory, readArrays } from './support.js';

/** A small model whose answer is known. */
export const small = modelDirectory('qwen3')!;
const reference = await readArrays(join(small, 'reference.safetensors'));
export const prompt: readonly number[] = [...reference.get('input_ids')!.data.slice(0, 11)];
export const greedy: readonly number[] = [...reference.get('greedy')!.data];

export const loadSmall = (options: LoadOptions = {}): Promise<Model> => loadModel(small, { backend: 'wasm', threads: 2, ...options });

export async function answer(model: Model, seen: (made: readonly number[]) => unknown = () => undefined): Promise<number[]> {
  const made: number[] = [];
  for await (const { token } of model.generate(prompt, { maxTokens: greedy.length, temperature: 0, ignoreEos: true })) {
    made.push(token);
    await seen(made);
  }
  return made;
}

/** Another model loads and answers, and leaves nothing behind. */
export async function expectAnotherModel(): Promise<void> {
  const model = await loadSmall();
  expect(await answer(model)).toEqual(greedy);
  await model.dispose();
  expect(model.engine.device.liveBytes).toBe(0);
}

/** The message of what `action` rejects with: an Error's, on one line. */
export async function reason(action: Promise<unknown>): Promise<string> {
  const thrown = await action.then(() => undefined, (error: unknown) => error);
  expect(thrown).toBeInstanceOf(Error);
  const { message } = thrown as Error;
  expect(message).not.toMatch(/[\r\n\u2028\u2029]/);
  return message;
}

/** The small model's files in another folder. */
export async function copyOfSmall(folder: string, change: (name: string, bytes: Uint8Array) => Uint8Array = (_, bytes) => bytes): Promise<string> {
  for (const name of ['config.json', 'model.safetensors']) await writeFile(join(folder, name), change(name, await readFile(join(small, name))));
  return folder;
}
