// Writes GGUF files, version 3, as a stream: the header is made at once, a tensor when its turn comes.
// What belongs into the metadata is the caller's business (see `convert.ts`).

import { CheckpointError, quoted } from '../error.js';
import { tensorChunks } from '../safetensors.js';
import type { WritableTensor } from '../safetensors.js';
import { VALUE_TYPES } from './header.js';
import type { ValueType } from './header.js';
import { bytesOfValues, formatOf } from './types.js';

type NumberType = Exclude<ValueType, 'bool' | 'string' | 'array'>;

/**
 * A value for the metadata. Numbers name their type, because readers insist on it: llama.cpp refuses
 * a `rope.freq_base` that is a whole number's type.
 */
export type WritableValue =
  | string
  | boolean
  | { readonly type: NumberType; readonly value: number | bigint }
  | { readonly type: 'array'; readonly of: Exclude<ValueType, 'array'>; readonly values: readonly (number | bigint | boolean | string)[] };

export type WritableMetadata = Iterable<readonly [key: string, value: WritableValue]>;

export const uint32 = (value: number): WritableValue => ({ type: 'uint32', value });
export const float32 = (value: number): WritableValue => ({ type: 'float32', value });
export const strings = (values: readonly string[]): WritableValue => ({ type: 'array', of: 'string', values });

/** A GGUF file as a stream of chunks, of known length. */
export interface GgufStream extends AsyncIterable<Uint8Array> {
  readonly byteLength: number;
}

const ALIGNMENT = 32;
// ggml keeps 63 bytes of a name and refuses a file with a longer one.
const LONGEST_NAME = 63;

/**
 * Writes metadata and tensors as one GGUF file: iterate the result into a file or a response. Tensors
 * keep their order; `dtype` is GGUF's type name and `shape` row-major.
 * Throws CheckpointError at once for a repeated key or name, an unknown type, more than four axes or
 * rows that are not whole blocks, and while streaming when a tensor yields other than its bytes.
 */
export function writeGguf(metadata: WritableMetadata, tensors: Iterable<WritableTensor>): GgufStream {
  const entries = new Map<string, WritableValue>();
  for (const [key, value] of metadata) {
    if (entries.has(key)) throw new CheckpointError(`the metadata key ${quoted(key)} is given twice`);
    entries.set(key, value);
  }
  const measured = [...tensors].map((tensor) => ({ tensor, bytes: measure(tensor) }));
  const names = new Set(measured.map(({ tensor }) => tensor.name));
  if (names.size < measured.length) throw new CheckpointError('two tensors have the same name');
  const header = encodeHeader(entries, measured);
  return {
    byteLength: measured.reduce((sum, { bytes }) => sum + aligned(bytes), header.length),
    async *[Symbol.asyncIterator]() {
      yield header;
      for (const { tensor, bytes } of measured) {
        yield* tensorChunks(tensor, bytes);
        if (aligned(bytes) > bytes) yield new Uint8Array(aligned(bytes) - bytes);
      }
    },
  };
}

const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

function measure({ name, dtype, shape }: WritableTensor): number {
  const what = `tensor ${quoted(name)}`;
  const { values } = formatOf(dtype);
  if (new TextEncoder().encode(name).length > LONGEST_NAME) throw new CheckpointError(`${what} has a name of more than ${LONGEST_NAME} bytes, which llama.cpp refuses`);
  if (shape.length > 4 || !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    throw new CheckpointError(`${what} has the shape [${shape.join(', ')}], expected at most four whole numbers`);
  }
  const row = shape.at(-1) ?? 1;
  if (row % values !== 0) throw new CheckpointError(`${what} has rows of ${row} numbers, but ${dtype} takes blocks of ${values}`);
  return bytesOfValues(dtype, shape.reduce((product, extent) => product * extent, 1));
}

function encodeHeader(metadata: ReadonlyMap<string, WritableValue>, tensors: readonly { tensor: WritableTensor; bytes: number }[]): Uint8Array {
  const out = new ByteWriter();
  out.bytes(new TextEncoder().encode('GGUF'));
  out.number('uint32', 3);
  out.number('uint64', tensors.length);
  out.number('uint64', metadata.size);
  for (const [key, value] of metadata) {
    out.string(key);
    writeValue(out, value);
  }
  let offset = 0;
  for (const { tensor: { name, dtype, shape }, bytes } of tensors) {
    out.string(name);
    out.number('uint32', shape.length);
    for (const extent of shape.toReversed()) out.number('uint64', extent);
    out.number('uint32', formatOf(dtype).id);
    out.number('uint64', offset);
    offset += aligned(bytes);
  }
  out.bytes(new Uint8Array(aligned(out.length) - out.length));
  return out.finish();
}

function writeValue(out: ByteWriter, value: WritableValue): void {
  if (typeof value === 'string' || typeof value === 'boolean') {
    const type = typeof value === 'string' ? 'string' : 'bool';
    out.type(type);
    writeElement(out, type, value);
  } else if (value.type === 'array') {
    out.type('array');
    out.type(value.of);
    out.number('uint64', value.values.length);
    for (const element of value.values) writeElement(out, value.of, element);
  } else {
    out.type(value.type);
    writeElement(out, value.type, value.value);
  }
}

function writeElement(out: ByteWriter, type: Exclude<ValueType, 'array'>, value: number | bigint | boolean | string): void {
  if (type === 'string') out.string(String(value));
  else if (type === 'bool') out.number('uint8', value ? 1 : 0);
  else out.number(type, value as number | bigint);
}

/** Little-endian fields into memory that grows. */
class ByteWriter {
  length = 0;
  private buffer = new Uint8Array(4096);
  private view = new DataView(this.buffer.buffer);

  finish(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }

  bytes(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.buffer.set(bytes, this.length);
    this.length += bytes.length;
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.number('uint64', bytes.length);
    this.bytes(bytes);
  }

  type(type: ValueType): void {
    this.number('uint32', VALUE_TYPES.indexOf(type));
  }

  number(kind: NumberType, value: number | bigint): void {
    this.reserve(8);
    const at = this.length;
    switch (kind) {
      case 'uint8': case 'int8': this.view.setUint8(at, Number(value)); this.length += 1; return;
      case 'uint16': case 'int16': this.view.setUint16(at, Number(value), true); this.length += 2; return;
      case 'uint32': case 'int32': this.view.setUint32(at, Number(value), true); this.length += 4; return;
      case 'float32': this.view.setFloat32(at, Number(value), true); this.length += 4; return;
      case 'float64': this.view.setFloat64(at, Number(value), true); this.length += 8; return;
      case 'uint64': case 'int64': this.view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true); this.length += 8; return;
      default: kind satisfies never;
    }
  }

  private reserve(count: number): void {
    if (this.length + count <= this.buffer.length) return;
    const next = new Uint8Array(Math.max(2 * this.buffer.length, this.length + count));
    next.set(this.buffer);
    this.buffer = next;
    this.view = new DataView(next.buffer);
  }
}
