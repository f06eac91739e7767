// Part of the stream on its way to become a job: entries in order, lowered to tasks as they come.

import { checkBytes } from '../../tensor/index.js';
import { RECORD_BYTES } from './abi.js';
import type { Heap } from './heap.js';
import { lowerings } from './lower/index.js';
import type { LowerContext } from './lower/lowering.js';
import { copyTask } from './lower/rows.js';
import { relayout, unpackInto, wishOf } from './matrix-layout.js';
import { brokenError, callError, reasonOf, settleCall } from './poison.js';
import { encode } from './records.js';
import { schedule } from './schedule.js';
import type { Job, Outcome, Stream } from './stream.js';
import { Fences } from './streaming.js';
import type { Streaming } from './streaming.js';
import type { Packing, Slot, SlotCall, Task } from './task.js';

export type Entry =
  | { readonly kind: 'call'; readonly call: SlotCall }
  /** Bytes that were set down at `from`, to be copied where they belong when it is their turn. */
  | { readonly kind: 'write'; readonly slot: Slot; readonly offset: number; readonly from: Slot }
  | { readonly kind: 'free'; readonly slot: Slot }
  | { readonly kind: 'layout'; readonly slot: Slot; readonly packing: Packing | undefined }
  | { readonly kind: 'unpack'; readonly slot: Slot; readonly to: Slot };

/** Gives a buffer its memory when it is first needed. */
export function back(slot: Slot, heap: Heap): void {
  if (!slot.streamed) slot.address ??= heap.take(slot.bytes, 'stream');
}

/** Takes a buffer's memory back. Its address stays: queued records may still name it. */
export function giveBack(slot: Slot, heap: Heap): void {
  if (slot.address !== undefined) heap.give(slot.address, slot.bytes);
}

export class Batch {
  private readonly tasks: Task[] = [];
  /** Which entry each task belongs to. */
  private readonly owners: number[] = [];
  private readonly errors = new Map<number, Error>();
  private readonly temporaries: Slot[] = [];
  /** Matrices that are rearranged on the way: spoilt where that does not come to its end. */
  private readonly rearranged = new Set<Slot>();
  private readonly context: LowerContext;

  constructor(private readonly entries: readonly Entry[], private readonly heap: Heap, private readonly stream: Stream, private readonly streaming?: Streaming) {
    this.context = { threads: stream.threads, derived: new Map(), temporary: (bytes) => this.temporary(bytes) };
  }

  /** Lowers everything and writes the records. */
  job(): Job {
    this.entries.forEach((entry, i) => {
      try {
        for (const task of this.lower(entry)) { this.tasks.push(task); this.owners.push(i); }
      } catch (error) {
        this.errors.set(i, entry.kind === 'call' ? callError(entry.call.call, reasonOf(error), error) : error as Error);
      }
    });
    for (const slot of this.temporaries) giveBack(slot, this.heap);
    try {
      return this.written();
    } catch (error) {
      // No memory for the records: a job all the same, for whoever waits must hear of it.
      return { records: 0, count: 0, done: () => this.settle({ failures: [], broken: { reason: reasonOf(error) } }) };
    }
  }

  private written(): Job {
    const { threads } = this.stream;
    this.stream.need(Math.max(0, ...this.tasks.map(({ scratch = 0 }) => scratch)), 0);
    const placed = schedule(this.tasks, { threads, temporary: () => false, repeatLimit: 0 });
    const bytes = this.tasks.length * RECORD_BYTES;
    const records = this.heap.take(bytes, 'now');
    encode(placed, this.heap.words.subarray(records / 4, (records + bytes) / 4), new Map());
    const fences = Fences.of(this.tasks, records, this.heap, this.streaming);
    return { records, count: this.tasks.length, fences, done: (outcome) => { this.heap.give(records, bytes); this.settle(outcome); } };
  }

  private temporary(bytes: number): Slot {
    const slot: Slot = { bytes };
    back(slot, this.heap);
    this.temporaries.push(slot);
    return slot;
  }

  private lower(entry: Entry): Iterable<Task> {
    switch (entry.kind) {
      case 'call': return this.lowerCall(entry.call);
      case 'write': return this.lowerWrite(entry.slot, entry.offset, entry.from);
      case 'free': giveBack(entry.slot, this.heap); return [];
      case 'layout': return this.rearrange(entry.slot, entry.packing);
      case 'unpack': back(entry.to, this.heap); return unpackInto(entry.slot, entry.slot.packed!, entry.to);
      default: return entry satisfies never;
    }
  }

  private *lowerCall(call: SlotCall): Iterable<Task> {
    for (const { slot, spec } of [...call.inputs, ...call.outputs]) { checkBytes(spec, slot.bytes); back(slot, this.heap); }
    const wish = wishOf(call);
    // First of all, and also where the call itself cannot be lowered: the matrix is marked from here on.
    if (wish) yield* this.rearrange(wish.slot, wish.pack || wish.slot.packed ? wish.packing : undefined);
    this.forgetTables(call);
    yield* lowerCall(call, this.context);
  }

  private rearrange(slot: Slot, packing: Packing | undefined): Task[] {
    const tasks = relayout(slot, packing);
    if (tasks.length > 0) this.rearranged.add(slot);
    return tasks;
  }

  /** A call that writes positions or frequencies makes tables of them stale. */
  private forgetTables({ outputs }: SlotCall): void {
    if (this.context.derived.size === 0) return;
    for (const { slot } of outputs) this.forget(slot);
  }

  private forget(slot: Slot): void {
    for (const [key, tables] of this.context.derived) this.context.derived.set(key, tables.filter(({ sources }) => !sources.includes(slot)));
  }

  private lowerWrite(slot: Slot, offset: number, from: Slot): Task[] {
    back(slot, this.heap);
    this.forget(slot);
    giveBack(from, this.heap);
    // A view of the buffer from `offset` on: the copy kernel knows beginnings only.
    const part: Slot = { bytes: from.bytes, address: slot.address! + offset };
    const spec = { shape: [from.bytes], dtype: 'f8_e4m3' } as const;
    return [copyTask({ slot: from, spec }, { slot: part, spec }, from.bytes)];
  }

  private settle({ failures, broken }: Outcome): void {
    for (const { index, reason } of failures) this.fail(this.owners[index], reason);
    const ended = broken?.index === undefined ? undefined : this.entries[this.owners[broken.index]];
    const lost = broken && brokenError(broken.reason, ended?.kind === 'call' ? ended.call : undefined);
    if (lost) for (const slot of this.rearranged) slot.poison ??= lost;
    this.entries.forEach((entry, i) => {
      const failure = lost ?? this.errors.get(i);
      if (entry.kind === 'call') settleCall(entry.call, failure);
      else if (entry.kind === 'write') entry.slot.poison = failure;
      else if (entry.kind === 'unpack') entry.to.poison = failure ?? entry.slot.poison;
    });
  }

  private fail(entry: number, reason: string): void {
    const failed = this.entries[entry];
    if (failed.kind === 'call') this.errors.set(entry, this.errors.get(entry) ?? callError(failed.call.call, reason));
  }
}

export function lowerCall(call: SlotCall, context: LowerContext): Task[] {
  const lowering = lowerings.get(call.call.op);
  if (!lowering) throw callError(call.call, 'the op has no kernel');
  const tasks = lowering.lower(call, context);
  const streamed = call.inputs.find(({ slot }) => slot.streamed)?.slot.streamed;
  if (streamed && !tasks.some(({ streams }) => streams)) throw callError(call.call, `${streamed.source.name} is streamed, and only matrix products read what is`);
  return tasks;
}
