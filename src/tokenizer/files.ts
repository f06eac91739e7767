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
}

/** The same, read: a tokenizer can then be built without waiting for anything. */
export interface LoadedFiles {
  readonly name: string;
  readonly contents: ReadonlyMap<string, Uint8Array>;
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
  const contents = new Map<string, Uint8Array>();
  for (const name of tokenizerFileNames) {
    const bytes = await files.read(name);
    if (bytes) contents.set(name, bytes);
  }
  return { name: files.name, contents };
}

/** One file as UTF-8 text; undefined when it does not exist. */
export function readText({ contents }: LoadedFiles, fileName: string): string | undefined {
  const bytes = contents.get(fileName);
  return bytes && new TextDecoder('utf-8').decode(bytes);
}

export type JsonObject = Record<string, unknown>;

/** True for a JSON object (not null, not a list). */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** One file as a JSON object; undefined when it does not exist. */
export function readJson(files: LoadedFiles, fileName: string): JsonObject | undefined {
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
