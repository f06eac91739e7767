// JSON as checkpoints carry it: parsed from bytes, required to be an object, and checked for
// repeated keys where a repetition would hide something. Not a schema checker.

import { CheckpointError, quoted, reasonOf } from './error.js';

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Parses UTF-8 JSON that must be an object; `what` opens the error message. */
export function parseObject(bytes: Uint8Array, what: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(decodeText(bytes));
  } catch (error) {
    throw new CheckpointError(`${what} is not valid JSON: ${reasonOf(error)}`, { cause: error });
  }
  if (!isObject(value)) throw new CheckpointError(`${what} is not a JSON object`);
  return value;
}

/** Bytes as text; throws on anything that is not UTF-8 rather than replacing it. */
export function decodeText(bytes: Uint8Array): string {
  // Browsers refuse to decode shared memory, and a Uint8Array over it has the same type.
  const own = bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(own);
}

/**
 * The first key that an object of the text repeats, at any depth; undefined where none does.
 * JSON.parse keeps the last of two equal keys in silence. The text must be valid JSON.
 */
export function repeatedKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = [];
  let expectsKey = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') {
      const end = stringEnd(text, at);
      if (expectsKey) {
        const key = JSON.parse(text.slice(at, end)) as string;
        const keys = open.at(-1)!;
        if (keys.has(key)) return key;
        keys.add(key);
        expectsKey = false;
      }
      at = end - 1;
    } else if (character === '{' || character === '[') {
      open.push(character === '{' ? new Set() : undefined);
      expectsKey = character === '{';
    } else if (character === '}' || character === ']') {
      open.pop();
      expectsKey = false;
    } else if (character === ',') {
      expectsKey = open.at(-1) !== undefined;
    }
  }
  return undefined;
}

/** The offset behind the closing quote of the string that starts at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** Refuses the one key that would change an object's prototype if it were ever assigned. */
export function refusePrototypeKey(key: string, what: string): void {
  if (key === '__proto__') throw new CheckpointError(`${what} uses the name ${quoted(key)}, which no checkpoint needs`);
}
