// Matrices that lie elsewhere and pass through memory: a bounded number of places, and which part
// of which buffer is in each. What was used longest ago makes room first.
//
// Places come in pools by size, so that nothing is ever moved or split. A part is read straight into
// its place, as it is stored; it is packed by whoever has the threads (streaming.ts).

import { byteLength, elementBytes, isBlockType } from '../../tensor/index.js';
import type { Spec, StreamedBuffer } from '../../tensor/index.js';
import { ADDRESS_BYTES } from './abi.js';
import type { Heap } from './heap.js';
import type { Packing } from './task.js';

/** A buffer whose parts are fetched: one matrix, or a stack of them. */
export interface StreamedMatrix {
  readonly source: StreamedBuffer;
  /** What one part is. */
  readonly part: Spec;
  readonly count: number;
  readonly packing: Packing | undefined;
  /** Address of an address per part: where it lies, 0 where it does not. Set just before a record reads it. */
  readonly table: number;
}

/** A part in its place. */
export interface Entry {
  readonly matrix: StreamedMatrix;
  readonly index: number;
  readonly address: number;
  /** Resolves when its bytes are there. */
  readonly loaded: Promise<void>;
  state: 'loading' | 'stored' | 'packed';
  /** Wanted by records that are about to run: stays. */
  pins: number;
  /** Fetched before anyone asked: further guesses do not push it out. */
  ahead: boolean;
}

interface Pool { readonly bytes: number; readonly slots: number; readonly free: number[]; readonly entries: Map<string, Entry> }

export class PartCache {
  readonly counts = { hits: 0, misses: 0, ahead: 0, bytesRead: 0 };
  readonly matrices: readonly StreamedMatrix[];
  private readonly pools = new Map<number, Pool>();
  private readonly ids = new Map<StreamedMatrix, number>();

  /** Takes all its memory at once: about `bytes`, and at least one place of every size. */
  constructor(private readonly heap: Heap, buffers: readonly StreamedBuffer[], bytes: number) {
    this.matrices = buffers.map((source) => streamedMatrix(source, heap));
    this.matrices.forEach((matrix, id) => this.ids.set(matrix, id));
    const counts = new Map<number, number>();
    for (const { part, count } of this.matrices) counts.set(byteLength(part), (counts.get(byteLength(part)) ?? 0) + count);
    const total = [...counts].reduce((sum, [size, count]) => sum + size * count, 0);
    for (const [size, count] of counts) {
      const slots = Math.max(1, Math.min(count, Math.floor((bytes / total) * count)));
      // Packed rows are read by 16 bytes at a time.
      const stride = Math.ceil(size / 64) * 64;
      const base = heap.take(slots * stride, 'now');
      this.pools.set(size, { bytes: size, slots, free: Array.from({ length: slots }, (_, i) => base + (slots - 1 - i) * stride), entries: new Map() });
    }
  }

  /** Places for parts like this matrix's. */
  slots(matrix: StreamedMatrix): number { return this.pool(matrix).slots; }

  /** Whether these parts can all be in memory at once. */
  fits(wanted: readonly (readonly [StreamedMatrix, readonly number[]])[]): boolean {
    const counts = new Map<Pool, number>();
    for (const [matrix, parts] of wanted) counts.set(this.pool(matrix), (counts.get(this.pool(matrix)) ?? 0) + parts.length);
    return [...counts].every(([pool, count]) => count <= pool.slots);
  }

  has(matrix: StreamedMatrix, index: number): boolean { return this.pool(matrix).entries.has(this.key(matrix, index)); }

  /** A part, pinned; fetched if it is not there. Waits for a place while others are still being filled. */
  async acquire(matrix: StreamedMatrix, index: number): Promise<Entry> {
    const pool = this.pool(matrix);
    for (;;) {
      const found = pool.entries.get(this.key(matrix, index));
      const entry = found ?? this.fetch(pool, matrix, index, false);
      if (entry) {
        if (!found) this.counts.misses++;
        else if (!found.ahead) this.counts.hits++;
        this.touch(pool, entry);
        entry.pins++;
        entry.ahead = false;
        return entry;
      }
      await Promise.race([...pool.entries.values()].filter(({ state }) => state === 'loading').map(({ loaded }) => loaded.catch(() => {})));
    }
  }

  /** Fetches a part that will probably be wanted. False: there is no place for guesses left. */
  prefetch(matrix: StreamedMatrix, index: number): boolean {
    if (this.has(matrix, index)) return true;
    const entry = this.fetch(this.pool(matrix), matrix, index, true);
    if (entry) this.counts.ahead++;
    return entry !== undefined;
  }

  /** Forgets a part whose bytes can no longer be trusted. */
  drop(entry: Entry): void {
    const pool = this.pool(entry.matrix);
    pool.entries.delete(this.key(entry.matrix, entry.index));
    pool.free.push(entry.address);
  }

  private pool({ part }: StreamedMatrix): Pool { return this.pools.get(byteLength(part))!; }
  private key(matrix: StreamedMatrix, index: number): string { return `${this.ids.get(matrix)}/${index}`; }

  private touch(pool: Pool, entry: Entry): void {
    const key = this.key(entry.matrix, entry.index);
    pool.entries.delete(key);
    pool.entries.set(key, entry);
  }

  private fetch(pool: Pool, matrix: StreamedMatrix, index: number, ahead: boolean): Entry | undefined {
    const address = pool.free.pop() ?? this.evict(pool, ahead);
    if (address === undefined) return undefined;
    const key = this.key(matrix, index);
    const entry: Entry = {
      matrix, index, address, state: 'loading', pins: 0, ahead,
      loaded: this.read(matrix, index, address, pool.bytes).then(() => {
        entry.state = matrix.packing ? 'stored' : 'packed';
        this.counts.bytesRead += pool.bytes;
      }, (error: unknown) => {
        // The place is free again: nothing writes to it any more.
        pool.entries.delete(key);
        pool.free.push(address);
        throw error;
      }),
    };
    entry.loaded.catch(() => {});
    pool.entries.set(key, entry);
    return entry;
  }

  private async read({ source }: StreamedMatrix, index: number, address: number, bytes: number): Promise<void> {
    if (this.heap.shared) return source.read(index, this.heap.bytes.subarray(address, address + bytes));
    // Memory that threads do not share moves when it grows.
    const copy = new Uint8Array(bytes);
    await source.read(index, copy);
    this.heap.bytes.set(copy, address);
  }

  private evict(pool: Pool, forGuess: boolean): number | undefined {
    for (const [key, entry] of pool.entries) {
      if (entry.pins > 0 || entry.state === 'loading' || (forGuess && entry.ahead)) continue;
      pool.entries.delete(key);
      return entry.address;
    }
    return undefined;
  }
}

function streamedMatrix(source: StreamedBuffer, heap: Heap): StreamedMatrix {
  const { shape, ...rest } = source.spec;
  const part: Spec = { ...rest, shape: shape.slice(-2) };
  const count = shape.length === 3 ? shape[0] : 1;
  const packing = isBlockType(part.dtype) ? { dtype: part.dtype, rows: part.shape[0], columns: part.shape[1] } : undefined;
  return { source, part, count, packing, table: heap.take(ADDRESS_BYTES * count, 'now') };
}

/** Some bytes of a buffer as it is stored, straight from where its contents lie. */
export async function readStreamed({ source, part, count }: StreamedMatrix, offset: number, byteCount: number): Promise<Uint8Array> {
  const size = byteLength(part);
  const codes = elementBytes(part);
  // Scales of a stack lie behind all its codes, those of a part behind the part's.
  if (count > 1 && codes !== size) throw new Error(`${source.name} is streamed with scales of its own and cannot be read back`);
  const out = new Uint8Array(byteCount);
  for (let index = Math.floor(offset / size); index * size < offset + byteCount; index++) {
    const bytes = new Uint8Array(size);
    await source.read(index, bytes);
    const from = Math.max(0, offset - index * size);
    out.set(bytes.subarray(from, Math.min(size, offset + byteCount - index * size)), index * size + from - offset);
  }
  return out;
}
