// Little-endian fields read from a byte source front to back, in pieces that grow: a small header
// costs one small read, a large vocabulary a few large ones. Each byte is read once.

import type { ByteSource } from '../../platform/index.js';
import { CheckpointError } from '../error.js';

// Headers without a vocabulary have some kilobytes, with one 1 to 15 MB.
const FIRST_PIECE = 2 ** 18;
const LARGEST_PIECE = 2 ** 22;
// Up to this length a loop over characters is faster than a TextDecoder's call.
const SHORT = 24;

const lenient = new TextDecoder('utf-8', { ignoreBOM: true });
const strict = new TextDecoder('utf-8', { ignoreBOM: true, fatal: true });

/** Fields are taken from what `need` has made sure is at hand. */
export class ByteReader {
  private bytes = new Uint8Array(0);
  private view = new DataView(this.bytes.buffer);
  private at = 0;
  /** Where in the source `bytes` begins. */
  private start = 0;
  private piece = FIRST_PIECE;

  constructor(readonly source: ByteSource) {}

  /** Offset in the source of the next field. */
  get position(): number {
    return this.start + this.at;
  }

  /** Bytes that can be taken without waiting. */
  get available(): number {
    return this.bytes.length - this.at;
  }

  /** Makes sure that `count` bytes are at hand. Rejects where the source ends before. */
  async need(count: number): Promise<void> {
    if (this.available >= count) return;
    const { name, size } = this.source;
    const left = size - this.position;
    if (count > left) throw new CheckpointError(`${name} is cut short: its header needs ${this.position + count} bytes, the file has ${size}`);
    const wanted = Math.min(left, Math.max(count, this.piece));
    this.piece = Math.min(this.piece * 2, LARGEST_PIECE);
    const rest = this.bytes.subarray(this.at);
    const next = new Uint8Array(wanted);
    next.set(rest);
    const more = await this.source.read(this.position + rest.length, wanted - rest.length);
    if (more.length !== wanted - rest.length) throw new CheckpointError(`${name}: gave ${more.length} bytes of its header, asked for ${wanted - rest.length}`);
    next.set(more, rest.length);
    this.start = this.position;
    this.bytes = next;
    this.view = new DataView(next.buffer);
    this.at = 0;
  }

  u8(): number {
    return this.bytes[this.at++];
  }

  u16(): number {
    this.at += 2;
    return this.view.getUint16(this.at - 2, true);
  }

  u32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  f32(): number {
    this.at += 4;
    return this.view.getFloat32(this.at - 4, true);
  }

  f64(): number {
    this.at += 8;
    return this.view.getFloat64(this.at - 8, true);
  }

  /** A number where a double holds it exactly, else a bigint. */
  u64(): number | bigint {
    const low = this.u32();
    const high = this.u32();
    return high < 0x200000 ? high * 2 ** 32 + low : (BigInt(high) << 32n) | BigInt(low);
  }

  i64(): number | bigint {
    const value = this.u64();
    return typeof value === 'number' ? value : narrow(BigInt.asIntN(64, value));
  }

  latin1(length: number): string {
    this.at += length;
    return String.fromCharCode(...this.bytes.subarray(this.at - length, this.at));
  }

  /** A text of `length` bytes; with `exact`, undefined where they are not UTF-8. */
  utf8(length: number, exact: boolean): string | undefined {
    const from = this.at;
    this.at += length;
    if (length <= SHORT) {
      const ascii = this.ascii(from, length);
      if (ascii !== undefined) return ascii;
    }
    const bytes = this.bytes.subarray(from, this.at);
    try {
      return (exact ? strict : lenient).decode(bytes);
    } catch {
      return undefined;
    }
  }

  /** The next string with its length, when all of it is at hand; else undefined, and nothing is taken. */
  stringAtHand(most: number): string | undefined {
    if (this.available < 8) return undefined;
    const length = this.view.getUint32(this.at, true);
    if (this.view.getUint32(this.at + 4, true) !== 0 || length > most || this.available < 8 + length) return undefined;
    this.at += 8;
    return this.utf8(length, false);
  }

  private ascii(from: number, length: number): string | undefined {
    let text = '';
    for (let i = from; i < from + length; i++) {
      if (this.bytes[i] >= 0x80) return undefined;
      text += String.fromCharCode(this.bytes[i]);
    }
    return text;
  }
}

function narrow(value: bigint): number | bigint {
  return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
}
