// A recorded list of calls: pipelines, bind groups and constants are made once, so that a replay
// only encodes dispatches. (WebGPU's command buffers can be submitted once, so they are no help.)

import type { BufferId, Call, Operand, Plan } from '../../tensor/index.js';
import type { Buffers, Memory } from './buffers.js';
import { Usage } from './gpu.js';
import type { Gpu } from './gpu.js';
import type { Entry } from './journal.js';
import type { Capabilities, Dispatch } from './kernel.js';
import { constantBytes, SLOT_BYTES } from './stream.js';
import type { Prepared, Stream } from './stream.js';
import { dispatchesOf, prepare, scratchBytes } from './prepare.js';

/** Calls that a replay submits together: the GPU runs the first while the rest is being encoded. */
const PART_CALLS = 64;

interface Part { readonly entries: readonly Entry[]; readonly prepared: readonly Prepared[] }
interface Planned { readonly entry: Entry; readonly dispatches: readonly Dispatch[] }
interface Command { readonly entry: Entry; readonly prepared: readonly Prepared[] }

/** What a plan needs of the backend that records it. */
export interface Recorder {
  readonly gpu: Gpu;
  readonly stream: Stream;
  readonly buffers: Buffers;
  readonly capabilities: Capabilities;
  /** The caller's own buffer, backed by memory. */
  external(operand: Operand): Memory;
  bytesOf(buffer: BufferId): number;
  entry(call: Call): Entry;
  /** Packs again what was unpacked since (see packing.ts). */
  repack(): void;
}

export class GpuPlan implements Plan {
  /** Buffers that temporaries live in, by turns; and what calls use between their own dispatches. */
  private readonly homes: readonly Memory[];
  private readonly scratch: readonly Memory[];
  private readonly constants: GPUBuffer;
  private readonly parts: readonly Part[];
  private usedSlots = 0;
  private disposed = false;

  constructor(private readonly recorder: Recorder, calls: readonly Call[], temporaries: ReadonlySet<BufferId>, private readonly afterDispose: () => void) {
    const { homes, sizes } = assign(calls, temporaries, (id) => recorder.bytesOf(id));
    const planned = calls.map((call) => this.planned(call));
    const scratchSizes = largestOf(planned.map(({ dispatches }) => scratchBytes(dispatches)));
    this.homes = sizes.map((bytes) => recorder.buffers.take(bytes));
    this.scratch = scratchSizes.map((bytes) => recorder.buffers.take(bytes));
    const slots = planned.reduce((sum, { dispatches }) => sum + dispatches.length, 0);
    this.constants = recorder.gpu.device.createBuffer({ size: Math.max(slots, 1) * SLOT_BYTES, usage: Usage.uniform | Usage.copyTarget });
    const commands = planned.map((each) => this.prepare(each, homes));
    this.parts = Array.from({ length: Math.ceil(calls.length / PART_CALLS) }, (_, n) => commands.slice(n * PART_CALLS, (n + 1) * PART_CALLS))
      .map((part) => ({ entries: part.map((c) => c.entry), prepared: part.flatMap((c) => c.prepared) }));
  }

  /** Number of dispatches that one replay makes. */
  get dispatches(): number {
    return this.parts.reduce((sum, { prepared }) => sum + prepared.length, 0);
  }

  replay(): void {
    if (this.disposed) throw new Error('replay: the plan was disposed');
    const { stream, gpu } = this.recorder;
    if (gpu.lost) return;
    this.recorder.repack();
    this.parts.forEach(({ prepared, entries }, n) => {
      if (n > 0) stream.submit();
      for (const each of prepared) stream.encode(each);
      stream.note(entries);
    });
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.recorder.stream.submit();
    this.constants.destroy();
    for (const memory of [...this.homes, ...this.scratch]) this.recorder.buffers.give(memory);
    this.afterDispose();
  }

  private planned(call: Call): Planned {
    const entry = this.recorder.entry(call);
    try {
      return { entry, dispatches: dispatchesOf(call, entry.fault, this.recorder.capabilities) };
    } catch (error) {
      this.fail(entry, error);
      return { entry, dispatches: [] };
    }
  }

  private prepare({ entry, dispatches }: Planned, homes: ReadonlyMap<BufferId, number>): Command {
    const { gpu, stream } = this.recorder;
    try {
      const parts = dispatches.map((dispatch) => prepare(dispatch, entry.fault !== undefined, {
        gpu, faults: stream.faults,
        memory: (operand) => {
          const home = homes.get(operand.buffer);
          return home === undefined ? this.recorder.external(operand) : this.homes[home];
        },
        scratch: (index) => this.scratch[index],
        constants: (words) => this.place(words),
      }));
      entry.pipelines = parts.map((part) => part.prepared.pipeline);
      entry.memories = parts.flatMap((part) => part.memories);
      return { entry, prepared: parts.map((part) => part.prepared) };
    } catch (error) {
      this.fail(entry, error);
      return { entry, prepared: [] };
    }
  }

  private fail(entry: Entry, error: unknown): void {
    entry.failure = error as Error;
    this.recorder.gpu.watch.troubled = true;
  }

  private place(words: readonly number[]): GPUBufferBinding {
    const offset = this.usedSlots++ * SLOT_BYTES;
    this.recorder.gpu.device.queue.writeBuffer(this.constants, offset, new Uint32Array(words));
    return { buffer: this.constants, offset, size: constantBytes(words) };
  }
}

/** From the first call that touches a temporary to the last. */
interface Span { first: number; last: number }

/**
 * Gives every temporary a buffer that no other has while it lives, the largest first, so that buffers
 * never grow (greedy by size: Pisarchyk and Lee, arXiv:2001.03288). What a call reads lives beside its
 * outputs: WebGPU refuses a buffer that one dispatch both reads and writes.
 */
export function assign(calls: readonly Call[], temporaries: ReadonlySet<BufferId>, bytesOf: (id: BufferId) => number): { homes: Map<BufferId, number>; sizes: number[] } {
  const spans = new Map<BufferId, Span>();
  calls.forEach(({ inputs, outputs }, i) => {
    for (const { buffer } of [...outputs, ...inputs]) {
      if (!temporaries.has(buffer)) continue;
      const span = spans.get(buffer);
      if (span) span.last = i;
      else spans.set(buffer, { first: i, last: i });
    }
  });
  const homes = new Map<BufferId, number>();
  const sizes: number[] = [];
  const residents: Span[][] = [];
  for (const [id, span] of [...spans].sort(([a], [b]) => bytesOf(b) - bytesOf(a))) {
    // The last is the smallest, and still large enough.
    let home = residents.findLastIndex((others) => others.every(({ first, last }) => last < span.first || first > span.last));
    if (home < 0) {
      home = sizes.push(bytesOf(id)) - 1;
      residents.push([]);
    }
    residents[home].push(span);
    homes.set(id, home);
  }
  return { homes, sizes };
}

/** The largest number at each place of sparse lists. */
function largestOf(lists: readonly (readonly number[])[]): number[] {
  return Array.from({ length: Math.max(0, ...lists.map((l) => l.length)) }, (_, i) => Math.max(...lists.map((l) => l[i] ?? 0)));
}
