// A tensor as a file holds it: its name, element type as the file spells it, shape, and a way to
// get its bytes. The same for every file format. Nothing is decoded here (see `decode.ts`).

import type { ByteSource } from '../platform/index.js';
import { CheckpointError, quoted } from './error.js';

export interface StoredTensor {
  readonly name: string;
  /** As the file spells it: 'F32', 'BF16', 'F8_E4M3', 'I64', … */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** The file that holds it. */
  readonly file: string;
  readonly byteLength: number;
  /** All its bytes, little-endian, last axis fastest; the array belongs to the caller. */
  read(): Promise<Uint8Array>;
  /** `length` bytes from `offset` within the tensor: for tensors too large to hold in one piece. */
  readRange(offset: number, length: number): Promise<Uint8Array>;
  /** Fills memory, which may be shared with threads, from `offset` on; absent where that takes a copy. */
  readInto?(offset: number, target: Uint8Array): Promise<void>;
}

/** Fills memory with a tensor's bytes from `offset` on, without a copy where there is a way. */
export async function readInto(tensor: StoredTensor, offset: number, target: Uint8Array): Promise<void> {
  if (tensor.readInto) await tensor.readInto(offset, target);
  else target.set(await tensor.readRange(offset, target.length));
}

/** Throws CheckpointError unless a range lies within a tensor. */
export function checkTensorRange({ name, file, byteLength }: Pick<StoredTensor, 'name' | 'file' | 'byteLength'>, offset: number, length: number): void {
  const valid = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!valid || offset + length > byteLength) {
    throw new CheckpointError(`${file}: cannot read ${length} bytes at ${offset} of tensor ${quoted(name)}, which has ${byteLength}`);
  }
}

/** A tensor whose bytes lie at `start` of a source. */
export function storedTensor(source: ByteSource, start: number, facts: Pick<StoredTensor, 'name' | 'dtype' | 'shape' | 'byteLength'>): StoredTensor {
  const { name, byteLength } = facts;
  // Sources may be anyone's: what one leaves out would be whatever lay in memory before.
  const exactly = (bytes: Uint8Array, length: number): Uint8Array => {
    if (bytes.length !== length) throw new CheckpointError(`${source.name}: gave ${bytes.length} bytes of tensor ${quoted(name)}, asked for ${length}`);
    return bytes;
  };
  const place = { ...facts, file: source.name };
  return {
    ...place,
    read: async () => exactly(await source.read(start, byteLength), byteLength),
    async readRange(offset, length) {
      checkTensorRange(place, offset, length);
      return exactly(await source.read(start + offset, length), length);
    },
    readInto: source.readInto && (async (offset, target) => {
      checkTensorRange(place, offset, target.length);
      await source.readInto!(start + offset, target);
    }),
  };
}
