// The header of a GGUF file: metadata, and what each tensor is and where its bytes lie. The format is
// ggml's (docs/gguf.md there), versions 2 and 3, little-endian. Bytes are read in growing pieces, each
// once. Files from the internet are untrusted: every count is checked against what the file can hold
// before anything of that size is made, and each limit says why it is there.

import type { ByteSource } from '../../platform/index.js';
import { CheckpointError, quoted } from '../error.js';
import { ByteReader } from './reader.js';
import { formatOf, typeOfId } from './types.js';
import type { GgufType } from './types.js';

/** A value of the metadata. Whole numbers of 64 bits that a double cannot hold are bigints. */
export type MetadataValue = number | bigint | boolean | string | readonly MetadataValue[];

export interface TensorInfo {
  readonly name: string;
  readonly dtype: GgufType;
  /** Row-major, last axis fastest: the file lists the axes the other way round. */
  readonly shape: readonly number[];
  /** From the start of the file, in bytes. */
  readonly start: number;
  readonly byteLength: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: Map<string, MetadataValue>;
  /** In the file's order. */
  readonly tensors: readonly TensorInfo[];
}

/** Types of metadata values, by their number in the file. */
export const VALUE_TYPES = ['uint8', 'int8', 'uint16', 'int16', 'uint32', 'int32', 'float32', 'bool', 'string', 'array', 'uint64', 'int64', 'float64'] as const;
export type ValueType = (typeof VALUE_TYPES)[number];

// The least bytes an entry takes: the length of its key, its type and a value of one byte; and for a
// tensor the length of its name, the number of its axes, its type and its offset.
const LEAST_KEY_BYTES = 8 + 4 + 1;
const LEAST_TENSOR_BYTES = 8 + 4 + 4 + 8;
// Published files have fewer than 100 keys. A key costs a hundred bytes of memory for 13 in the file.
const MAX_KEYS = 2 ** 16;
// The largest model on the hub, stored one tensor per expert, has 139,644 tensors.
const MAX_TENSORS = 2 ** 20;
// The format's own limit for keys. ggml cuts tensor names at 63 bytes; some builds allow more.
const MAX_KEY_BYTES = 2 ** 16 - 1;
const MAX_NAME_BYTES = 1024;
// Some files carry a whole tokenizer.json as one string (33 MB for Gemma 3).
const MAX_STRING_BYTES = 2 ** 26;
// Gemma 3, the largest vocabulary published, has 262,144 tokens, scores and types and 514,906 merges. An
// element of a byte in the file is 8 in memory, so all arrays together have this limit.
const MAX_ELEMENTS = 2 ** 24;
// ggml itself does not nest arrays at all; the format allows it.
const MAX_NESTING = 3;
// ggml's limit.
const MAX_AXES = 4;
const DEFAULT_ALIGNMENT = 32;
// Alignments are a cache line to a memory page; more would only hide bytes between tensors.
const MAX_ALIGNMENT = 2 ** 16;

/** Reads the header of an open file. Throws CheckpointError, in one line, for anything it should not have. */
export async function readHeader(source: ByteSource): Promise<GgufHeader> {
  const reader = new ByteReader(source);
  const version = await readVersion(reader);
  const tensorCount = await readCount(reader, 'tensors', MAX_TENSORS, LEAST_TENSOR_BYTES);
  const keyCount = await readCount(reader, 'metadata keys', MAX_KEYS, LEAST_KEY_BYTES);
  const metadata = await readMetadata(reader, keyCount);
  const found: RawTensor[] = [];
  const names = new Set<string>();
  for (let i = 0; i < tensorCount; i++) {
    const tensor = await readTensor(reader);
    // Readers would disagree about which of the two is meant.
    if (names.has(tensor.name)) throw new CheckpointError(`${source.name}: tensor ${quoted(tensor.name)} is listed twice`);
    names.add(tensor.name);
    found.push(tensor);
  }
  return { version, metadata, tensors: placeTensors(source, found, reader.position, alignmentOf(source, metadata)) };
}

async function readVersion(reader: ByteReader): Promise<number> {
  const { name, size } = reader.source;
  if (size < 24) throw new CheckpointError(`${name} has ${size} bytes, too few for a GGUF file`);
  await reader.need(24);
  const magic = reader.latin1(4);
  if (magic === 'vers') throw new CheckpointError(`${name} is a Git LFS pointer, not the model itself; fetch it with "git lfs pull"`);
  if (/^(lmgg|tjgg|fmgg|algg)$/.test(magic)) throw new CheckpointError(`${name} is in a format of llama.cpp from before GGUF (2023); convert the model anew`);
  if (magic !== 'GGUF') throw new CheckpointError(`${name} is not a GGUF file: it starts with ${quoted(magic)}`);
  const version = reader.u32();
  // The version is small, so in a file of the other byte order only its highest byte is set.
  if ((version & 0xffff) === 0 && version !== 0) throw new CheckpointError(`${name} is a big-endian GGUF file; only little-endian ones can be read`);
  if (version !== 2 && version !== 3) throw new CheckpointError(`${name} is a GGUF file of version ${version}; versions 2 and 3 can be read`);
  return version;
}

/** A number of things that follow; each takes some bytes, so the file's own size is a first limit. */
async function readCount(reader: ByteReader, things: string, most: number, leastBytes: number): Promise<number> {
  await reader.need(8);
  const count = reader.u64();
  const { name, size } = reader.source;
  if (count > most) throw new CheckpointError(`${name} claims ${count} ${things}, the limit is ${most}`);
  if (Number(count) * leastBytes > size - reader.position) throw new CheckpointError(`${name} claims ${count} ${things}, more than its ${size} bytes can hold`);
  return Number(count);
}

async function readMetadata(reader: ByteReader, count: number): Promise<Map<string, MetadataValue>> {
  const metadata = new Map<string, MetadataValue>();
  const budget = { elements: MAX_ELEMENTS };
  for (let i = 0; i < count; i++) {
    const key = await readString(reader, MAX_KEY_BYTES, 'a metadata key', true);
    if (metadata.has(key)) throw new CheckpointError(`${reader.source.name} has the metadata key ${quoted(key)} twice`);
    await reader.need(4);
    metadata.set(key, await readValue(reader, reader.u32(), key, budget, 0));
  }
  return metadata;
}

async function readValue(reader: ByteReader, type: number, key: string, budget: { elements: number }, depth: number): Promise<MetadataValue> {
  const name = VALUE_TYPES[type];
  if (name === undefined) throw new CheckpointError(`${reader.source.name}: the metadata key ${quoted(key)} has a value of the unknown type ${type}`);
  if (name === 'array') return readArray(reader, key, budget, depth);
  if (name === 'string') return readString(reader, MAX_STRING_BYTES, `the value of ${quoted(key)}`, false);
  await reader.need(SCALAR_BYTES[name]);
  return readScalar(reader, name, key);
}

const SCALAR_BYTES = { uint8: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, float32: 4, bool: 1, uint64: 8, int64: 8, float64: 8 } as const;

/** A value whose bytes the reader has at hand. */
function readScalar(reader: ByteReader, type: keyof typeof SCALAR_BYTES, key: string): number | bigint | boolean {
  switch (type) {
    case 'uint8': return reader.u8();
    case 'int8': return (reader.u8() << 24) >> 24;
    case 'uint16': return reader.u16();
    case 'int16': return (reader.u16() << 16) >> 16;
    case 'uint32': return reader.u32();
    case 'int32': return reader.u32() | 0;
    case 'float32': return reader.f32();
    case 'float64': return reader.f64();
    case 'uint64': return reader.u64();
    case 'int64': return reader.i64();
    case 'bool': {
      const byte = reader.u8();
      if (byte > 1) throw new CheckpointError(`${reader.source.name}: the metadata key ${quoted(key)} should be true (1) or false (0), its byte is ${byte}`);
      return byte === 1;
    }
    default: return type satisfies never;
  }
}

async function readArray(reader: ByteReader, key: string, budget: { elements: number }, depth: number): Promise<MetadataValue[]> {
  const { name, size } = reader.source;
  const what = `${name}: the array ${quoted(key)}`;
  if (depth >= MAX_NESTING) throw new CheckpointError(`${what} holds arrays more than ${MAX_NESTING} deep`);
  await reader.need(12);
  const typeNumber = reader.u32();
  const type = VALUE_TYPES[typeNumber];
  if (type === undefined) throw new CheckpointError(`${what} has elements of the unknown type ${typeNumber}`);
  const length = Number(reader.u64());
  const leastBytes = type === 'string' ? 8 : type === 'array' ? 12 : SCALAR_BYTES[type];
  if (length * leastBytes > size - reader.position) throw new CheckpointError(`${what} claims ${length} elements, more than the file's ${size} bytes can hold`);
  if (length > budget.elements) throw new CheckpointError(`${name}: its metadata arrays have more than ${MAX_ELEMENTS} elements together`);
  budget.elements -= length;
  const values: MetadataValue[] = [];
  if (type === 'array') {
    for (let i = 0; i < length; i++) values.push(await readArray(reader, key, budget, depth + 1));
  } else if (type === 'string') {
    await readStrings(reader, length, key, values);
  } else {
    for (let i = 0; i < length; i++) {
      // Waiting only at the end of a piece: half a million awaits would take longer than the reading.
      if (reader.available < 8) await reader.need(SCALAR_BYTES[type]);
      values.push(readScalar(reader, type, key));
    }
  }
  return values;
}

async function readStrings(reader: ByteReader, count: number, key: string, values: MetadataValue[]): Promise<void> {
  for (let i = 0; i < count; i++) {
    const text = reader.stringAtHand(MAX_STRING_BYTES);
    values.push(text ?? await readString(reader, MAX_STRING_BYTES, `a string of ${quoted(key)}`, false));
  }
}

/** `exact`: names must be UTF-8, or two could look the same; texts may hold anything (vocabularies do). */
async function readString(reader: ByteReader, most: number, what: string, exact: boolean): Promise<string> {
  await reader.need(8);
  const length = reader.u64();
  if (length > most) throw new CheckpointError(`${reader.source.name}: ${what} claims ${length} bytes, the limit is ${most}`);
  await reader.need(Number(length));
  const text = reader.utf8(Number(length), exact);
  if (text === undefined) throw new CheckpointError(`${reader.source.name}: ${what} is not valid UTF-8`);
  return text;
}

interface RawTensor extends Omit<TensorInfo, 'start'> {
  /** From the start of the data. */
  readonly offset: number;
}

async function readTensor(reader: ByteReader): Promise<RawTensor> {
  const name = await readString(reader, MAX_NAME_BYTES, "a tensor's name", true);
  const what = `${reader.source.name}: tensor ${quoted(name)}`;
  await reader.need(4);
  const axes = reader.u32();
  if (axes > MAX_AXES) throw new CheckpointError(`${what} claims ${axes} axes, GGUF has at most ${MAX_AXES}`);
  await reader.need(8 * axes + 12);
  const extents = Array.from({ length: axes }, () => reader.u64());
  const typeNumber = reader.u32();
  const offset = reader.u64();
  const dtype = typeOfId(typeNumber);
  if (!dtype) throw new CheckpointError(`${what} has the type number ${typeNumber}, which is not known here`);
  // Also keeps each extent exact as a number. 2^53 bytes are more than any disk has.
  let count = 1;
  for (const extent of extents) {
    const larger = Number(extent) > 0 && count > Number.MAX_SAFE_INTEGER / 8 / Number(extent);
    if (larger || extent > Number.MAX_SAFE_INTEGER) throw new CheckpointError(`${what} has the shape [${extents.join(', ')}], more than any file can hold`);
    count *= Number(extent);
  }
  const shape = extents.map(Number).reverse();
  const { values, bytes } = formatOf(dtype);
  const row = shape.at(-1) ?? 1;
  if (row % values !== 0) throw new CheckpointError(`${what} has rows of ${row} numbers, but ${dtype} takes blocks of ${values}`);
  if (offset > Number.MAX_SAFE_INTEGER / 2) throw new CheckpointError(`${what} starts at offset ${offset}, beyond any file's end`);
  return { name, dtype, shape, offset: Number(offset), byteLength: (count / values) * bytes };
}

function alignmentOf(source: ByteSource, metadata: ReadonlyMap<string, MetadataValue>): number {
  const value = metadata.get('general.alignment') ?? DEFAULT_ALIGNMENT;
  const valid = typeof value === 'number' && Number.isInteger(Math.log2(value)) && value >= 1 && value <= MAX_ALIGNMENT;
  if (!valid) throw new CheckpointError(`${source.name}: general.alignment must be a power of two up to ${MAX_ALIGNMENT}, it is ${quoted(String(value))}`);
  return value;
}

/** Offsets in the whole file, after checking that the tensors lie in it, aligned and apart. */
function placeTensors(source: ByteSource, found: readonly RawTensor[], headerEnd: number, alignment: number): TensorInfo[] {
  const dataStart = Math.ceil(headerEnd / alignment) * alignment;
  for (const { name, offset, byteLength } of found) {
    const what = `${source.name}: tensor ${quoted(name)}`;
    if (offset % alignment !== 0) throw new CheckpointError(`${what} starts at offset ${offset}, which is not a multiple of the alignment ${alignment}`);
    const end = dataStart + offset + byteLength;
    if (end > source.size) throw new CheckpointError(`${what} ends at byte ${end}, but the file has ${source.size}; it is cut short or still downloading`);
  }
  // Overlaps would let one tensor's bytes pass for another's.
  const byPlace = found.filter(({ byteLength }) => byteLength > 0).sort((a, b) => a.offset - b.offset);
  byPlace.forEach(({ name, offset }, i) => {
    const before = byPlace[i - 1];
    if (before && before.offset + before.byteLength > offset) throw new CheckpointError(`${source.name}: tensors ${quoted(before.name)} and ${quoted(name)} overlap`);
  });
  return found.map(({ offset, ...facts }) => ({ ...facts, start: dataStart + offset }));
}
