// A recorded step: its calls scheduled once, its temporaries laid out, its records written; a
// replay is one message per thread. Rule 1 of plans: nothing else ever uses its temporaries.

import { checkBytes } from '../../tensor/index.js';
import { RECORD_BYTES } from './abi.js';
import { back, giveBack, lowerCall } from './batch.js';
import type { Heap } from './heap.js';
import { pack } from './layout.js';
import type { Interval } from './layout.js';
import type { LowerContext } from './lower/lowering.js';
import { wishOf } from './matrix-layout.js';
import { brokenError, callError, settleCall } from './poison.js';
import { encode } from './records.js';
import { schedule } from './schedule.js';
import type { Schedule } from './schedule.js';
import type { Job, Outcome, Stream } from './stream.js';
import { Fences } from './streaming.js';
import type { Streaming } from './streaming.js';
import type { Packing, Slot, SlotCall, Task } from './task.js';

/** How a plan's records expect each matrix of a block format to lie. */
export type Layouts = ReadonlyMap<Slot, Packing | undefined>;

/** The layouts that a list of calls needs, all at once: packed where any of them multiplies. */
export function layoutsOf(calls: readonly SlotCall[]): Layouts {
  const layouts = new Map<Slot, Packing | undefined>();
  for (const call of calls) {
    const wish = wishOf(call);
    if (wish && (wish.pack || !layouts.has(wish.slot))) layouts.set(wish.slot, wish.pack ? wish.packing : undefined);
  }
  return layouts;
}

export class RecordedPlan {
  readonly barriers: number;
  private readonly tasks: Task[] = [];
  private readonly owners: number[] = [];
  private readonly records: Slot;
  private readonly arena: Slot;
  private readonly fences: Fences | undefined;

  /** `layouts` hold by now. `temporaries` are written by the calls and read by nobody else. */
  constructor(
    private readonly calls: readonly SlotCall[], private readonly temporaries: Set<Slot>, readonly layouts: Layouts,
    private readonly heap: Heap, stream: Stream, repeatLimit: number, streaming?: Streaming,
  ) {
    this.lower({ threads: stream.threads, derived: new Map(), temporary: (bytes) => this.temporary(bytes) });
    // What a fence reads must lie where this thread finds it, not in each thread's own memory.
    const watched = new Set(this.tasks.map(({ streams }) => streams?.indices?.slot));
    const placed = schedule(this.tasks, { threads: stream.threads, temporary: (slot) => temporaries.has(slot) && !watched.has(slot), repeatLimit });
    this.barriers = placed.barriers;
    const own = pack(this.intervals(placed, (slot) => placed.own.has(slot), (index) => index));
    let segment = 0;
    const segments = placed.placed.map(({ barrier }) => (barrier ? ++segment : segment));
    const shared = pack(this.intervals(placed, (slot) => !placed.own.has(slot), (index) => segments[index]));
    this.arena = { bytes: shared.total };
    this.records = { bytes: this.tasks.length * RECORD_BYTES };
    try {
      back(this.arena, heap);
      for (const [slot, offset] of shared.offsets) slot.address = this.arena.address! + offset;
      this.records.address = heap.take(this.records.bytes, 'now');
      encode(placed, this.words, own.offsets);
    this.fences = Fences.of(this.tasks, this.records.address!, heap, streaming);
      stream.need(Math.max(0, ...this.tasks.map(({ scratch = 0 }) => scratch)), own.total);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  get job(): Job {
    return { records: this.records.address!, count: this.tasks.length, fences: this.fences, done: (outcome) => this.settle(outcome) };
  }

  dispose(): void {
    for (const slot of [this.records, this.arena]) giveBack(slot, this.heap);
  }

  private get words(): Int32Array {
    const { address, bytes } = this.records;
    return this.heap.words.subarray(address! / 4, (address! + bytes) / 4);
  }

  private temporary(bytes: number): Slot {
    const slot: Slot = { bytes };
    this.temporaries.add(slot);
    return slot;
  }

  private lower(context: LowerContext): void {
    this.calls.forEach((call, i) => {
      for (const { slot, spec } of [...call.inputs, ...call.outputs]) {
        checkBytes(spec, slot.bytes);
        if (!this.temporaries.has(slot)) back(slot, this.heap);
      }
      for (const task of lowerCall(call, context)) { this.tasks.push(task); this.owners.push(i); }
    });
  }

  /** When each temporary that `wanted` accepts is in use. Threads run ahead of each other between barriers: shared memory changes hands only there. */
  private intervals({ placed }: Schedule, wanted: (slot: Slot) => boolean, moment: (index: number) => number): Interval<Slot>[] {
    const intervals = new Map<Slot, Interval<Slot>>();
    placed.forEach(({ task }, index) => {
      for (const { slot } of task.operands) {
        if (!slot || !this.temporaries.has(slot) || !wanted(slot)) continue;
        const known = intervals.get(slot);
        if (known) known.to = moment(index);
        else intervals.set(slot, { item: slot, bytes: slot.bytes, from: moment(index), to: moment(index) });
      }
    });
    return [...intervals.values()];
  }

  private settle({ failures, broken }: Outcome): void {
    const reasons = new Map<number, string>();
    for (const { index, reason } of failures) if (!reasons.has(this.owners[index])) reasons.set(this.owners[index], reason);
    const lost = broken && brokenError(broken.reason, this.calls[this.owners[broken.index ?? -1]]);
    this.calls.forEach((call, i) => {
      const reason = reasons.get(i);
      settleCall(call, lost ?? (reason === undefined ? undefined : callError(call.call, reason)));
    });
  }
}
