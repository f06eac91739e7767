// The safetensors format: 8 bytes of header length, a JSON header, then the tensors' bytes.
// Opening reads the header alone; a tensor's bytes are read when asked for. The checks follow the
// format's own reader, because a file that it refuses has been damaged or made to deceive.
// Files from the internet are untrusted: each check below says what it keeps out.

import { platform, blobSource, bytesSource } from '../platform/index.js';
import type { ByteSource } from '../platform/index.js';
import { CheckpointError, quoted } from './error.js';
import { httpSource, isHttpUrl } from './http.js';
import { decodeText, isObject, parseObject, refusePrototypeKey, repeatedKey } from './json.js';
import { storedTensor } from './stored.js';
import type { StoredTensor } from './stored.js';

/** Bits per element of every type that the format knows. */
const BITS: ReadonlyMap<string, number> = new Map([
  ['BOOL', 8], ['U8', 8], ['I8', 8], ['U16', 16], ['I16', 16], ['U32', 32], ['I32', 32], ['U64', 64], ['I64', 64],
  ['F4', 4], ['F6_E2M3', 6], ['F6_E3M2', 6], ['F8_E4M3', 8], ['F8_E5M2', 8], ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8], ['F8_E5M2FNUZ', 8], ['F16', 16], ['BF16', 16], ['F32', 32], ['F64', 64], ['C64', 64],
]);

const LENGTH_BYTES = 8;
// The format's own limit. A header of 100,000 tensors has 11 MB.
const MAX_HEADER_BYTES = 100_000_000;

export interface Safetensors {
  /** The header's `__metadata__`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in the order of their bytes in the file. */
  readonly tensors: Map<string, StoredTensor>;
  /** Closes the source that was opened, or given. */
  close(): Promise<void>;
}

/**
 * Opens a safetensors file by path or http(s) URL, or over a source, an array or a Blob, reading
 * the header only.
 * Throws CheckpointError when the file is damaged; the source is closed then.
 */
export async function readSafetensors(source: string | ByteSource | Uint8Array | Blob): Promise<Safetensors> {
  const bytes = await openSource(source, 'safetensors bytes');
  try {
    const { header, dataStart } = await readHeader(bytes);
    const tensors = new Map<string, StoredTensor>();
    for (const { start, ...facts } of placeTensors(bytes, header, dataStart)) {
      tensors.set(facts.name, storedTensor(bytes, dataStart + start, facts));
    }
    return { metadata: readMetadata(bytes.name, header), tensors, close: () => bytes.close() };
  } catch (error) {
    await bytes.close();
    throw error;
  }
}

/** Opens whatever may be given as a file; `arrayName` is what messages call an array. */
export async function openSource(source: string | ByteSource | Uint8Array | Blob, arrayName: string): Promise<ByteSource> {
  if (source instanceof Uint8Array) return bytesSource(source, arrayName);
  if (source instanceof Blob) return blobSource(source);
  if (typeof source !== 'string') return source;
  if (isHttpUrl(source)) {
    const opened = await httpSource(source);
    if (!opened) throw new CheckpointError(`${source}: the server has no such file`, { status: 404 });
    return opened;
  }
  const { files } = await platform();
  if (!files) throw new CheckpointError(`${source}: a browser cannot open paths; give a File, a Blob or a URL`);
  return files.openFile(source);
}

async function readHeader(source: ByteSource): Promise<{ header: Record<string, unknown>; dataStart: number }> {
  const { name, size } = source;
  if (size < LENGTH_BYTES) throw new CheckpointError(`${name} has ${size} bytes, too few for a safetensors file`);
  const start = await source.read(0, LENGTH_BYTES);
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  const isOther = otherFormat(start);
  if (isOther) throw new CheckpointError(`${name} is ${isOther}`);
  // A header of 0 bytes is no JSON; larger than the limit it is most often another kind of file, and
  // believing it would allocate whatever eight bytes can say.
  if (length === 0) throw new CheckpointError(`${name} is not a safetensors file: its header is empty`);
  if (length > MAX_HEADER_BYTES) {
    throw new CheckpointError(`${name} is not a safetensors file: it claims a header of ${length} bytes, the limit is ${MAX_HEADER_BYTES}`);
  }
  const dataStart = LENGTH_BYTES + length;
  if (dataStart > size) throw new CheckpointError(`${name} is cut short: its header needs ${dataStart} bytes, the file has ${size}`);
  const bytes = await source.read(LENGTH_BYTES, length);
  // The format's reader insists on this, so that other JSON (or a byte order mark) is not taken for a header.
  if (bytes[0] !== 0x7b) throw new CheckpointError(`${name} is not a safetensors file: its header does not start with '{'`);
  const header = parseObject(bytes, `${name}: the header`);
  // Two entries of one name: readers would disagree about which tensor is meant.
  const repeated = repeatedKey(decodeText(bytes));
  if (repeated !== undefined) throw new CheckpointError(`${name}: the header has the key ${quoted(repeated)} twice`);
  return { header, dataStart };
}

/** Names the kinds of file that often sit where a safetensors file was expected. */
function otherFormat(start: Uint8Array): string | undefined {
  const text = String.fromCharCode(...start);
  if (text === 'version ') return 'a Git LFS pointer, not the weights themselves; fetch them with "git lfs pull"';
  if (text.startsWith('GGUF')) return 'a GGUF file, not safetensors';
  if (text.startsWith('PK\x03\x04')) return 'a zip archive (PyTorch weights?), not safetensors';
  return undefined;
}

function readMetadata(file: string, header: Record<string, unknown>): Record<string, string> {
  const metadata = Object.hasOwn(header, '__metadata__') ? header['__metadata__'] : {};
  if (!isObject(metadata)) throw new CheckpointError(`${file}: __metadata__ is not an object`);
  for (const [key, value] of Object.entries(metadata)) {
    refusePrototypeKey(key, `${file}: __metadata__`);
    if (typeof value !== 'string') throw new CheckpointError(`${file}: __metadata__ value of ${quoted(key)} is not a string`);
  }
  return metadata as Record<string, string>;
}

interface Placed {
  name: string;
  dtype: string;
  shape: number[];
  /** Offset within the data section, in bytes. */
  start: number;
  byteLength: number;
}

/** Every tensor of the header, ordered by offset, after checking that together they tile the data. */
function placeTensors(source: ByteSource, header: Record<string, unknown>, dataStart: number): Placed[] {
  const dataBytes = source.size - dataStart;
  const placed: Placed[] = [];
  for (const [name, entry] of Object.entries(header)) {
    if (name !== '__metadata__') placed.push(readEntry(source.name, name, entry, dataBytes));
  }
  placed.sort((a, b) => a.start - b.start || a.byteLength - b.byteLength);
  let end = 0;
  for (const tensor of placed) {
    // Overlaps would let one tensor's bytes pass for another's; holes can hide other content.
    if (tensor.start !== end) {
      const fault = tensor.start < end ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw new CheckpointError(`${source.name}: tensor ${quoted(tensor.name)} ${fault} (starts at ${tensor.start}, expected ${end})`);
    }
    end += tensor.byteLength;
  }
  if (end !== dataBytes) {
    throw new CheckpointError(`${source.name}: ${dataBytes - end} bytes behind the last tensor belong to none`);
  }
  return placed;
}

function readEntry(file: string, name: string, entry: unknown, dataBytes: number): Placed {
  const what = `${file}: tensor ${quoted(name)}`;
  refusePrototypeKey(name, file);
  if (!isObject(entry)) throw new CheckpointError(`${what} is not described by an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  const bits = typeof dtype === 'string' ? BITS.get(dtype) : undefined;
  if (typeof dtype !== 'string' || bits === undefined) throw new CheckpointError(`${what} has the unknown dtype ${quoted(dtype)}`);
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new CheckpointError(`${what} has the shape ${quoted(shape)}, expected an array of non-negative integers`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    throw new CheckpointError(`${what} has data_offsets ${quoted(offsets)}, expected [begin, end]`);
  }
  const [start, end] = offsets as [number, number];
  const byteLength = bytesOf(shape, bits, what);
  if (byteLength !== end - start) {
    throw new CheckpointError(`${what} (${dtype} [${quoted(shape).slice(1, -1)}]) needs ${byteLength} bytes, its data_offsets give ${end - start}`);
  }
  if (end > dataBytes) {
    throw new CheckpointError(`${what} ends at byte ${end} of the data, but the file has ${dataBytes}; it is cut short or still downloading`);
  }
  return { name, dtype, shape: shape as number[], start, byteLength };
}

/** Counts and offsets beyond 2^53 would lose digits as numbers, and no file is that large. */
function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function bytesOf(shape: readonly number[], bits: number, what: string): number {
  let total = bits;
  for (const extent of shape) {
    // Checked at each step, as the format's reader does: a later 0 must not excuse an overflow.
    if (extent > 0 && total > Number.MAX_SAFE_INTEGER / extent) {
      throw new CheckpointError(`${what} has the shape ${quoted(shape)}, more bytes than any file can have`);
    }
    total *= extent;
  }
  // Elements of 4 or 6 bits must fill whole bytes.
  if (total % 8 !== 0) throw new CheckpointError(`${what} ends in the middle of a byte`);
  return total / 8;
}

/** A tensor to be written; `data` is produced when its turn comes, so that one is held at a time. */
export interface WritableTensor {
  readonly name: string;
  /** As the format spells it: 'F32', 'BF16', … */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array | (() => Promise<Uint8Array> | AsyncIterable<Uint8Array>);
}

/** A safetensors file as a stream of chunks, of known length. */
export interface SafetensorsStream extends AsyncIterable<Uint8Array> {
  readonly byteLength: number;
}

/**
 * Writes tensors as one safetensors file: iterate the result into a file or a response. Wider
 * elements come first and names in order, as the format's own writer does it, which aligns every
 * tensor to its element. `metadata` gets `format: 'pt'`, which transformers asks for.
 * Throws CheckpointError at once for a bad dtype, shape or a repeated name, and while streaming when
 * a tensor yields other than the bytes its shape needs.
 */
export function writeSafetensors(tensors: Iterable<WritableTensor>, metadata: Readonly<Record<string, string>> = {}): SafetensorsStream {
  const sized = [...tensors].map((tensor) => ({ tensor, ...measure(tensor) }));
  sized.sort((a, b) => b.bits - a.bits || (a.tensor.name < b.tensor.name ? -1 : 1));
  const entries: [string, unknown][] = [['__metadata__', { format: 'pt', ...metadata }]];
  const names = new Set<string>();
  let offset = 0;
  for (const { tensor: { name, dtype, shape }, bytes } of sized) {
    if (names.has(name)) throw new CheckpointError(`tensor ${quoted(name)} is given twice`);
    names.add(name);
    entries.push([name, { dtype, shape, data_offsets: [offset, offset + bytes] }]);
    offset += bytes;
  }
  const header = encodeHeader(entries);
  return {
    byteLength: header.length + offset,
    async *[Symbol.asyncIterator]() {
      yield header;
      for (const { tensor, bytes } of sized) yield* tensorChunks(tensor, bytes);
    },
  };
}

function measure({ name, dtype, shape }: WritableTensor): { bits: number; bytes: number } {
  const what = `tensor ${quoted(name)}`;
  const bits = BITS.get(dtype);
  if (bits === undefined) throw new CheckpointError(`${what} has the dtype ${quoted(dtype)}, which safetensors does not know`);
  if (!shape.every(isCount)) throw new CheckpointError(`${what} has the shape ${quoted(shape)}, expected non-negative integers`);
  if (name === '__metadata__' || name === '__proto__') throw new CheckpointError(`no tensor can be called ${name}`);
  return { bits, bytes: bytesOf(shape, bits, what) };
}

/** Length and JSON, padded with spaces so that the data starts at a multiple of 8. */
function encodeHeader(entries: [string, unknown][]): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const length = Math.ceil(json.length / 8) * 8;
  if (length > MAX_HEADER_BYTES) throw new CheckpointError(`a header of ${length} bytes is above safetensors' limit of ${MAX_HEADER_BYTES}`);
  const header = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, LENGTH_BYTES);
  return header;
}

/** The bytes of a tensor to be written, which must be exactly so many. */
export async function* tensorChunks({ name, data }: WritableTensor, bytes: number): AsyncGenerator<Uint8Array> {
  let produced = 0;
  const given = typeof data === 'function' ? await data() : data;
  for await (const chunk of given instanceof Uint8Array ? [given] : given) {
    produced += chunk.length;
    if (produced > bytes) break;
    yield chunk;
  }
  if (produced !== bytes) throw new CheckpointError(`tensor ${quoted(name)} needs ${bytes} bytes, its data has ${produced > bytes ? 'more' : produced}`);
}
