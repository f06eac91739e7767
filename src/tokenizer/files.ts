/**
 * The files a tokenizer is read from, by name, wherever they lie: a directory, the hub, a browser's
 * file list. This says which names matter; it opens nothing itself.
 */

/** Named files of one checkpoint. */
export interface TextFiles {
  /** What to call the place in error messages: a directory path, a hub id, … */
  readonly name: string;
  /** The bytes of one file, or undefined when there is no such file. */
  read(fileName: string): Promise<Uint8Array | undefined>;
  /** What such a file says, where it is made up and need not be written to be read: a vocabulary takes time and memory. */
  readObject?(fileName: string): Promise<JsonObject | undefined>;
}

/** The same, read: a tokenizer can then be built without waiting for anything. */
export interface LoadedFiles {
  readonly name: string;
  /** As bytes, or as what the JSON would say. */
  readonly contents: ReadonlyMap<string, Uint8Array | JsonObject>;
}

/** Every file that belongs to a tokenizer, so that saving a model can copy them all. */
export const tokenizerFileNames: readonly string[] = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'chat_template.jinja',
  'chat_template.json',
  'tokenizer.model',
  'tiktoken.model',
  'vocab.json',
  'merges.txt',
];

/** Reads those of the tokenizer's files that exist. */
export async function loadFiles(files: TextFiles): Promise<LoadedFiles> {
  const contents = new Map<string, Uint8Array | JsonObject>();
  for (const name of tokenizerFileNames) {
    const content = (await files.readObject?.(name)) ?? (await files.read(name));
    if (content) contents.set(name, content);
  }
  return { name: files.name, contents };
}

/** What a file holds, as bytes. */
export function bytesOf(content: Uint8Array | JsonObject): Uint8Array {
  return content instanceof Uint8Array ? content : new TextEncoder().encode(JSON.stringify(content));
}

/** One file as UTF-8 text; undefined when it does not exist. */
export function readText({ contents }: LoadedFiles, fileName: string): string | undefined {
  const content = contents.get(fileName);
  return content && new TextDecoder('utf-8').decode(bytesOf(content));
}

export type JsonObject = Record<string, unknown>;

/** True for a JSON object (not null, not a list). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One file as a JSON object; undefined when it does not exist. */
export function readJson(files: LoadedFiles, fileName: string): JsonObject | undefined {
  const content = files.contents.get(fileName);
  if (content && !(content instanceof Uint8Array)) return content;
  const text = readText(files, fileName);
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Error(`${files.name}: ${fileName} is not valid JSON (${(error as Error).message}); download it again.`, { cause: error });
  }
  if (!isObject(value)) throw new Error(`${files.name}: ${fileName} must hold a JSON object.`);
  return value;
}
