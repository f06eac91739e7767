// Small files for the checkpoint tests: safetensors built byte by byte (not with the writer under
// test), temporary folders, and the directory of reference models where the checkout has it.

import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, expect } from 'vitest';
import { CheckpointError } from '../../src/checkpoint/index.js';

export const referenceModels = fileURLToPath(new URL('../../../shared/reference/models', import.meta.url));
export const hasReferenceModels = existsSync(referenceModels);

const temporary: string[] = [];
afterEach(async () => {
  for (const path of temporary.splice(0)) await rm(path, { recursive: true, force: true });
});

/** A folder with the given files, removed after the test. */
export async function folder(files: Record<string, string | Uint8Array> = {}): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'lamella-'));
  temporary.push(path);
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content);
  return path;
}

/** A safetensors file from a header (an object, or JSON text as it is) and a number of data bytes. */
export function rawFile(header: unknown, dataBytes = 0, claimedLength?: number): Uint8Array {
  const json = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const file = new Uint8Array(8 + json.length + dataBytes);
  new DataView(file.buffer).setBigUint64(0, BigInt(claimedLength ?? json.length), true);
  file.set(json, 8);
  for (let i = 0; i < dataBytes; i++) file[8 + json.length + i] = i;
  return file;
}

/** A file of float32 vectors, filled with 1, 2, 3, … */
export function vectors(sizes: Record<string, number>): Uint8Array {
  const header: Record<string, unknown> = {};
  let offset = 0;
  for (const [name, size] of Object.entries(sizes)) {
    header[name] = { dtype: 'F32', shape: [size], data_offsets: [offset, offset + 4 * size] };
    offset += 4 * size;
  }
  const json = JSON.stringify(header);
  const file = rawFile(json, offset);
  const data = new DataView(file.buffer, file.length - offset);
  for (let i = 0; i < offset / 4; i++) data.setFloat32(4 * i, i + 1, true);
  return file;
}

/** Expects a CheckpointError of one line whose message matches all the patterns. */
export async function expectRefusal(action: Promise<unknown>, ...patterns: (RegExp | string)[]): Promise<CheckpointError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  const { message } = error as CheckpointError;
  expect(message).not.toMatch(/[\r\n\u2028\u2029]/);
  expect(message.length).toBeLessThan(600);
  for (const pattern of patterns) {
    if (typeof pattern === 'string') expect(message).toContain(pattern);
    else expect(message).toMatch(pattern);
  }
  return error as CheckpointError;
}

/** All chunks of a stream in one array. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}
