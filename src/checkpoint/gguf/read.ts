// A GGUF file, or all the files that one was split into, as metadata and stored tensors. Opening reads
// headers only; a tensor's bytes are read when asked for. What the tensors mean is not known here
// (see `checkpoint.ts`).

import { platform } from '../../platform/index.js';
import type { ByteSource } from '../../platform/index.js';
import { CheckpointError, quoted } from '../error.js';
import { httpSource, isHttpUrl } from '../http.js';
import { inParallel } from '../parallel.js';
import { openSource } from '../safetensors.js';
import { storedTensor } from '../stored.js';
import type { StoredTensor } from '../stored.js';
import { readHeader } from './header.js';
import type { GgufHeader, MetadataValue } from './header.js';

// Kimi K2 in 8 bits is published in 23 parts; each costs an open file, and a header can claim 65,535.
const MAX_PARTS = 4096;
// Headers of later parts are small and a web server's answers slow: several at a time.
const PARTS_AT_ONCE = 8;

export interface Gguf {
  /** The file, or the first of its parts. */
  readonly name: string;
  readonly metadata: Map<string, MetadataValue>;
  /** By name, in the file's order; `dtype` is GGUF's type name, `shape` row-major. */
  readonly tensors: Map<string, StoredTensor>;
  /** Closes the files that were opened, or given. */
  close(): Promise<void>;
}

/** Opens another part by its file name; undefined where there is none. */
export type OpenPart = (fileName: string) => Promise<ByteSource | undefined>;

/**
 * Opens a GGUF file by path or http(s) URL, or over a source, an array or a Blob, reading headers only.
 * A file that was split (`model-00001-of-00003.gguf`) is opened with its other parts, any of which may
 * be given; they are looked for beside a path or URL.
 * Throws CheckpointError when the file is damaged or a part is missing; everything is closed then.
 */
export async function readGguf(source: string | ByteSource | Uint8Array | Blob): Promise<Gguf> {
  const bytes = await openSource(source, 'GGUF bytes');
  return openGgufParts(bytes, typeof source === 'string' ? await siblingsOf(source) : undefined);
}

/** Finds files beside a path or URL. */
export async function siblingsOf(place: string): Promise<OpenPart> {
  if (isHttpUrl(place)) {
    return (fileName) => {
      const url = new URL(place);
      url.pathname = url.pathname.replace(/[^/]*$/, encodeURIComponent(fileName));
      return httpSource(url.href);
    };
  }
  const { files } = await platform();
  return async (fileName) => {
    const path = files!.absolute(place).replace(/[^/\\]*$/, fileName);
    return (await files!.stat(path))?.kind === 'file' ? files!.openFile(path) : undefined;
  };
}

/** As `readGguf`, from a source and a way to open the other parts of a split file. */
export async function openGgufParts(source: ByteSource, openPart?: OpenPart): Promise<Gguf> {
  const opened: ByteSource[] = [source];
  try {
    const header = await readHeader(source);
    const count = wholeNumber(header, 'split.count') ?? 1;
    if (count <= 1) return gguf([{ source, header }], opened);
    return gguf(await openOthers({ source, header }, count, openPart, opened), opened);
  } catch (error) {
    await Promise.all(opened.map((file) => file.close()));
    throw error;
  }
}

interface Part { readonly source: ByteSource; readonly header: GgufHeader }

async function openOthers(given: Part, count: number, openPart: OpenPart | undefined, opened: ByteSource[]): Promise<Part[]> {
  const { name } = given.source;
  if (count > MAX_PARTS) throw new CheckpointError(`${name} claims to be one of ${count} parts, the limit is ${MAX_PARTS}`);
  const [, stem] = /([^/\\]*)-\d{5}-of-\d{5}\.gguf$/.exec(decodeURIComponent(name.replace(/[?#].*$/, ''))) ?? [];
  if (stem === undefined || !openPart) {
    throw new CheckpointError(`${name} is one of the ${count} parts of a model; give the path of a file called …-00001-of-${five(count)}.gguf with the others beside it`);
  }
  const index = wholeNumber(given.header, 'split.no') ?? 0;
  const parts: Part[] = [];
  await inParallel(Array.from({ length: count }, (_, i) => i), PARTS_AT_ONCE, async (i) => {
    if (i === index) return void (parts[i] = given);
    const fileName = `${stem}-${five(i + 1)}-of-${five(count)}.gguf`;
    const source = await openPart(fileName);
    if (!source) throw new CheckpointError(`${name}: its other part ${fileName} is missing`);
    opened.push(source);
    const header = await readHeader(source);
    if (wholeNumber(header, 'split.no') !== i || wholeNumber(header, 'split.count') !== count) {
      throw new CheckpointError(`${source.name} does not say that it is part ${i + 1} of ${count}: it belongs to another model`);
    }
    parts[i] = { source, header };
  });
  const total = wholeNumber(parts[0].header, 'split.tensors.count');
  const found = parts.reduce((sum, { header }) => sum + header.tensors.length, 0);
  if (total !== undefined && total !== found) throw new CheckpointError(`${name}: its ${count} parts have ${found} tensors, the first says ${total}`);
  return parts;
}

const five = (n: number): string => String(n).padStart(5, '0');

function wholeNumber({ metadata }: GgufHeader, key: string): number | undefined {
  const value = metadata.get(key);
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : undefined;
}

/** The first part has the metadata; the others have tensors only. */
function gguf(parts: readonly Part[], opened: readonly ByteSource[]): Gguf {
  const [{ source: first, header: { metadata } }] = parts;
  const tensors = new Map<string, StoredTensor>();
  for (const { source, header } of parts) for (const { start, ...facts } of header.tensors) {
    const other = tensors.get(facts.name);
    if (other) throw new CheckpointError(`${first.name}: tensor ${quoted(facts.name)} is in two parts, ${other.file} and ${source.name}`);
    tensors.set(facts.name, storedTensor(source, start, facts));
  }
  return { name: first.name, metadata, tensors, close: async () => void (await Promise.all(opened.map((file) => file.close()))) };
}
