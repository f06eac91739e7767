// Fences: where a list of records must wait until matrices that lie elsewhere are in memory.
//
// Records between two fences run as before, without a trip to JavaScript. Streamed records that stand
// together (gate, up and down of the experts that one router chose; the matrices of a layer) are
// fetched at the first of them when all of them fit, so that a layer costs one stop. When they do not
// fit, each runs alone, and with more experts than there are places, in rounds: the kernel passes over
// experts without an address, and each choice's row is made in the round that has its expert. No sum
// changes its order, hence results are those of a model that is all in memory.

import { ADDRESS_BYTES, RECORD_BYTES, WORD_POINTERS } from './abi.js';
import type { Heap } from './heap.js';
import { packTask } from './matrix-layout.js';
import type { Entry, PartCache, StreamedMatrix } from './part-cache.js';
import { reasonOf } from './poison.js';
import { encode, setAddress } from './records.js';
import { schedule } from './schedule.js';
import type { Task } from './task.js';

/** Runs records at an address on all threads, in the middle of a job. Rejects when a thread stops. */
export type RunRecords = (records: number, count: number) => Promise<void>;

interface Fence {
  /** Index of its record in the job. */
  readonly at: number;
  readonly matrix: StreamedMatrix;
  /** Which of the record's addresses is the matrix. */
  readonly pointer: number;
  /** Where the chosen experts lie, and how many choices there are; undefined: the only part is wanted. */
  readonly indices?: { readonly address: () => number; readonly count: number };
  /** Fences with the same key are fetched together. */
  readonly key: unknown;
  ready: boolean;
  /** Parts still to be gone through in rounds. */
  rest?: number[];
}

/** Records that pack parts are written this many at a time. */
const PACKED_AT_ONCE = 128;

/** What lists of records share: the cache, and memory for the records that pack. */
export class Streaming {
  private readonly packRecords: number;
  /** What each stack's last step chose. */
  readonly last = new Map<StreamedMatrix, readonly number[]>();

  constructor(readonly cache: PartCache, private readonly heap: Heap, private readonly threads: number) {
    this.packRecords = heap.take(PACKED_AT_ONCE * RECORD_BYTES, 'now');
  }

  /** Working memory that a thread needs to pack any part. */
  get scratch(): number {
    return Math.max(0, ...this.cache.matrices.map(({ packing }) => (packing ? (packTask(packing, 0).scratch ?? 0) : 0)));
  }

  async pack(entries: readonly Entry[], run: RunRecords): Promise<void> {
    const raw = entries.filter(({ state }) => state === 'stored');
    for (let from = 0; from < raw.length; from += PACKED_AT_ONCE) {
      const some = raw.slice(from, from + PACKED_AT_ONCE);
      const tasks = some.map(({ matrix, address }) => packTask(matrix.packing!, address));
      const words = this.heap.words.subarray(this.packRecords / 4, (this.packRecords + tasks.length * RECORD_BYTES) / 4);
      encode(schedule(tasks, { threads: this.threads, temporary: () => false, repeatLimit: 0 }), words, new Map());
      try {
        await run(this.packRecords, tasks.length);
      } catch (error) {
        // Half packed is neither: none of them may be used again.
        for (const entry of raw) this.cache.drop(entry);
        throw error;
      }
      for (const entry of some) entry.state = 'packed';
    }
  }
}

export class Fences {
  private pinned: Entry[] = [];

  private constructor(private readonly streaming: Streaming, private readonly list: readonly Fence[], private readonly heap: Heap, private readonly records: number) {}

  /** The fences of a list of tasks whose records lie at `records`; undefined where none streams. */
  static of(tasks: readonly Task[], records: number, heap: Heap, streaming: Streaming | undefined): Fences | undefined {
    const list: Fence[] = [];
    tasks.forEach(({ streams }, at) => {
      if (!streams) return;
      const { matrix, pointer, indices } = streams;
      list.push({
        at, matrix, pointer, ready: false, key: indices?.slot ?? matrix.source.group,
        indices: indices && { address: () => indices.slot.address!, count: indices.count },
      });
    });
    return list.length > 0 && streaming ? new Fences(streaming, list, heap, records) : undefined;
  }

  /** The first record at or behind `from` that has to wait. */
  next(from: number): number | undefined {
    return this.list.find(({ at, ready }) => at >= from && !ready)?.at;
  }

  /** Brings what the record at `at` reads. True: some of it only, run that record alone and enter again. */
  async enter(at: number, run: RunRecords): Promise<boolean> {
    const first = this.list.findIndex((fence) => fence.at === at);
    const fence = this.list[first];
    this.unpin();
    if (!fence.rest) {
      const group = this.group(first);
      const wanted = group.map((member) => [member.matrix, this.wanted(member)] as const);
      if (this.streaming.cache.fits(wanted)) {
        await this.bring(group, wanted.map(([, parts]) => parts), run);
        for (const member of group) member.ready = true;
        this.readAhead(first + group.length);
        return false;
      }
      fence.rest = this.wanted(fence);
    }
    const round = fence.rest.splice(0, this.streaming.cache.slots(fence.matrix));
    await this.bring([fence], [round], run);
    fence.ready = fence.rest.length === 0;
    return !fence.ready;
  }

  /** The job is over, however it ended. */
  leave(): void {
    this.unpin();
    for (const fence of this.list) { fence.ready = false; fence.rest = undefined; }
  }

  private group(first: number): readonly Fence[] {
    const end = this.list.findIndex(({ key }, i) => i > first && key !== this.list[first].key);
    return this.list.slice(first, end < 0 ? undefined : end);
  }

  private wanted({ matrix, indices }: Fence): number[] {
    if (!indices) return [0];
    const start = indices.address() / 4;
    // What is no expert fails in the kernel, which says which.
    const parts = [...new Set(this.heap.words.subarray(start, start + indices.count))].filter((part) => part >= 0 && part < matrix.count);
    this.streaming.last.set(matrix, parts);
    return parts.sort((a, b) => a - b);
  }

  private async bring(fences: readonly Fence[], parts: readonly (readonly number[])[], run: RunRecords): Promise<void> {
    const { cache } = this.streaming;
    const entries = await Promise.all(fences.map(({ matrix }, i) => Promise.all(parts[i].map(async (part) => {
      const entry = await cache.acquire(matrix, part);
      this.pinned.push(entry);
      return entry;
    }))));
    const loads = entries.flat().map((entry) => entry.loaded.catch((error: unknown) => { throw unreadable(entry, error); }));
    await Promise.all(loads);
    await this.streaming.pack(entries.flat(), run);
    fences.forEach((fence, i) => this.place(fence, entries[i]));
  }

  /** Tells the record where its matrix lies, or its matrices. */
  private place({ at, matrix, pointer, indices }: Fence, entries: readonly Entry[]): void {
    const { words } = this.heap;
    if (!indices) { setAddress(words, this.records + at * RECORD_BYTES + WORD_POINTERS * 4 + pointer * ADDRESS_BYTES, entries[0].address); return; }
    words.fill(0, matrix.table / 4, (matrix.table + matrix.count * ADDRESS_BYTES) / 4);
    for (const { index, address } of entries) setAddress(words, matrix.table + index * ADDRESS_BYTES, address);
  }

  private unpin(): void {
    for (const entry of this.pinned) entry.pins--;
    this.pinned = [];
  }

  /**
   * Fetches what the fences behind will want while the threads work: their matrices, as far as there
   * is room; of a stack of experts only where the last step took most of them, for a guess that is
   * wrong more often than right costs more than it saves.
   */
  private readAhead(from: number): void {
    const { cache, last } = this.streaming;
    for (let i = 0; i < this.list.length; i++) {
      const { matrix, indices } = this.list[(from + i) % this.list.length];
      const guess = indices ? (last.get(matrix) ?? []) : [0];
      if (indices && guess.length * 2 < matrix.count) continue;
      for (const part of guess) if (!cache.prefetch(matrix, part)) return;
    }
  }
}

function unreadable({ matrix: { source }, index }: Entry, error: unknown): Error {
  const which = source.spec.shape.length === 3 ? `expert ${index} of ${source.name}` : source.name;
  return new Error(`${which} could not be read: ${reasonOf(error)}`, { cause: error });
}
