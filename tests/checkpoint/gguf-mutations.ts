// Where the fields of a valid GGUF file lie, and what a hostile one may hold there: every count,
// length, type, extent and offset by itself, so that none is missed by chance.

import { VALUE_TYPES } from '../../src/checkpoint/gguf/header.js';

export type SiteKind = 'count' | 'length' | 'type' | 'axes' | 'extent' | 'offset' | 'number' | 'float' | 'text';

/** One field of the header. */
export interface Site {
  readonly kind: SiteKind;
  /** What it belongs to: a key's or a tensor's name. */
  readonly of: string;
  readonly at: number;
  readonly size: number;
}

const SIZES: Readonly<Record<string, number>> = { uint8: 1, int8: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, float32: 4, bool: 1, uint64: 8, int64: 8, float64: 8 };

/** Walks the header of a valid file; of an array's elements only the first few are sites. */
export function sitesOf(file: Uint8Array): Site[] {
  const view = new DataView(file.buffer, file.byteOffset);
  const sites: Site[] = [];
  let at = 0;
  const site = (kind: SiteKind, size: number, of: string): void => { sites.push({ kind, of, at, size }); at += size; };
  const count = (): number => Number(view.getBigUint64(at, true));
  const type = (of: string): string => { const name = VALUE_TYPES[view.getUint32(at, true)]; site('type', 4, of); return name; };
  const text = (of?: string, listed = true): string => {
    const length = count();
    const found = new TextDecoder().decode(file.subarray(at + 8, at + 8 + length));
    if (listed) { site('length', 8, of ?? found); site('text', length, of ?? found); } else at += 8 + length;
    return found;
  };
  const value = (kind: string, of: string, listed = true): void => {
    if (kind === 'string') { text(of, listed); return; }
    if (kind === 'array') { array(of); return; }
    if (listed) site(kind.startsWith('float') ? 'float' : 'number', SIZES[kind], of); else at += SIZES[kind];
  };
  const array = (of: string): void => {
    const kind = type(of);
    const length = count();
    site('length', 8, of);
    for (let i = 0; i < length; i++) value(kind, of, i < 3);
  };
  at = 8;
  const [tensors, keys] = [count(), Number(view.getBigUint64(16, true))];
  site('count', 8, 'tensors');
  site('count', 8, 'keys');
  for (let i = 0; i < keys; i++) { const key = text(); value(type(key), key); }
  for (let i = 0; i < tensors; i++) {
    const name = text();
    const axes = view.getUint32(at, true);
    site('axes', 4, name);
    for (let axis = 0; axis < axes; axis++) site('extent', 8, name);
    site('type', 4, name);
    site('offset', 8, name);
  }
  return sites;
}

const COUNTS = [0n, 1n, 2n, 3n, 33n, 255n, 65535n, 2n ** 24n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n, 2n ** 60n, 2n ** 63n, 2n ** 64n - 1n, 2n ** 64n - 32n];
const FLOATS = [0, -0, -1, 1e-45, 1e30, 3.4e38, NaN, Infinity, -Infinity];

/** The file with another value in one field, and what was done in words. */
export function mutated(file: Uint8Array, { kind, of, at, size }: Site, next: (below: number) => number): { bytes: Uint8Array; change: string } {
  const bytes = file.slice();
  const view = new DataView(bytes.buffer);
  const said = (value: unknown): { bytes: Uint8Array; change: string } => ({ bytes, change: `${kind} of ${of} = ${String(value)}` });
  if (kind === 'text') {
    if (size > 0) bytes[at + next(size)] = next(256);
    return said('another byte');
  }
  if (kind === 'float') {
    const value = FLOATS[next(FLOATS.length)];
    if (size === 4) view.setFloat32(at, value, true); else view.setFloat64(at, value, true);
    return said(value);
  }
  const old = size === 8 ? view.getBigUint64(at, true) : BigInt(size === 4 ? view.getUint32(at, true) : size === 2 ? view.getUint16(at, true) : bytes[at]);
  const near = old + [1n, -1n, 32n, -32n][next(4)];
  const value = BigInt.asUintN(8 * size, kind === 'type' ? BigInt(next(45)) : next(3) === 0 ? near : COUNTS[next(COUNTS.length)]);
  for (let i = 0; i < size; i++) bytes[at + i] = Number((value >> BigInt(8 * i)) & 255n);
  return said(value);
}
