// GGUF headers built field by field for the tests (not with the writer under test), so that every
// field can be wrong.

import { VALUE_TYPES } from '../../src/checkpoint/gguf/header.js';
import type { ValueType } from '../../src/checkpoint/gguf/header.js';

export type Field = Uint8Array;

const field = (size: number, set: (view: DataView) => void): Field => {
  const bytes = new Uint8Array(size);
  set(new DataView(bytes.buffer));
  return bytes;
};
export const u8 = (value: number): Field => Uint8Array.of(value);
export const u16 = (value: number): Field => field(2, (view) => view.setUint16(0, value, true));
export const u32 = (value: number): Field => field(4, (view) => view.setUint32(0, value, true));
export const u64 = (value: number | bigint): Field => field(8, (view) => view.setBigUint64(0, BigInt(value), true));
export const f32 = (value: number): Field => field(4, (view) => view.setFloat32(0, value, true));
export const f64 = (value: number): Field => field(8, (view) => view.setFloat64(0, value, true));
export const raw = (bytes: Uint8Array): Field => join(u64(bytes.length), bytes);
export const str = (text: string): Field => raw(new TextEncoder().encode(text));
export const typeOf = (type: ValueType): Field => u32(VALUE_TYPES.indexOf(type));

export const join = (...fields: Field[]): Uint8Array => joinAll(fields);

function joinAll(fields: Field[]): Uint8Array {
  const out = new Uint8Array(fields.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const bytes of fields) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

/** A metadata entry. */
export const key = (name: string, type: ValueType, value: Field): Field => join(str(name), typeOf(type), value);
export const array = (of: ValueType, elements: Field[], claimed: number | bigint = elements.length): Field => joinAll([typeOf(of), u64(claimed), joinAll(elements)]);

export interface TensorFields { name: string; dims?: (number | bigint)[]; type?: number; offset?: number | bigint; axes?: number }
/** A tensor's entry; `dims` as the file lists them, fastest axis first. */
export const tensor = ({ name, dims = [2], type = 0, offset = 0, axes = dims.length }: TensorFields): Field =>
  join(str(name), u32(axes), ...dims.map(u64), u32(type), u64(offset));

export interface FileFields {
  magic?: string;
  version?: Field;
  keys?: Field[];
  tensors?: Field[];
  claimedKeys?: number | bigint;
  claimedTensors?: number | bigint;
  /** Bytes behind the header, which is padded to 32 first. */
  data?: Uint8Array | number;
}

export function ggufFile({ magic = 'GGUF', version = u32(3), keys = [], tensors = [], data = 0, ...claimed }: FileFields = {}): Uint8Array {
  const header = join(
    new TextEncoder().encode(magic), version, u64(claimed.claimedTensors ?? tensors.length), u64(claimed.claimedKeys ?? keys.length), ...keys, ...tensors,
  );
  const content = typeof data === 'number' ? Uint8Array.from({ length: data }, (_, i) => i) : data;
  return content.length === 0 ? header : join(header, new Uint8Array((32 - (header.length % 32)) % 32), content);
}

/** Numbers that look random and are the same every time. */
export function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
