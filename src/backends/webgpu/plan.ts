// A recorded list of calls: pipelines, bind groups and constants are made once, so that a replay
// only encodes dispatches. (WebGPU's command buffers can be submitted once, so they are no help.)

import type { BufferId, Call, Operand, Plan } from '../../tensor/index.js';
import type { Buffers, Memory } from './buffers.js';
import { Usage } from './gpu.js';
import type { Gpu } from './gpu.js';
import type { Entry } from './journal.js';
import { EXCHANGE } from './kernels/chain.js';
import { stepsOf, waitedInVain } from './chains.js';
import type { Step } from './chains.js';
import type { Capabilities, Dispatch } from './kernel.js';
import { constantBytes, SLOT_BYTES } from './stream.js';
import type { Prepared, Stream } from './stream.js';
import { dispatchesOf, prepare, scratchBytes } from './prepare.js';

/** Steps that a replay submits together: the GPU runs the first while the rest is being encoded. */
const PART_STEPS = 64;

interface Part { readonly entries: readonly Entry[]; readonly prepared: readonly Prepared[] }
/** The first of a step's entries answers for its dispatches. */
interface Planned { readonly entries: readonly Entry[]; readonly dispatches: readonly Dispatch[] }
interface Command { readonly entries: readonly Entry[]; readonly prepared: readonly Prepared[] }
/** Which buffer a temporary lives in, and from which byte on. */
interface Home { readonly home: number; readonly offset: number }

/** What a plan needs of the backend that records it. */
export interface Recorder {
  readonly gpu: Gpu;
  readonly stream: Stream;
  readonly buffers: Buffers;
  readonly capabilities: Capabilities;
  /** The caller's own buffer, backed by memory. */
  external(operand: Operand): Memory;
  bytesOf(buffer: BufferId): number;
  /** `explain`: what a fault that is reported for it means, beyond those of its kernel. */
  entry(call: Call, explain?: Entry['explain']): Entry;
  /** Makes memory zeros. */
  clear(memory: Memory): void;
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
    const steps = stepsOf(calls, temporaries, recorder.capabilities);
    const { homes, sizes } = housed(steps, temporaries, (id) => recorder.bytesOf(id));
    const planned = steps.map((step) => this.planned(step));
    const scratchSizes = largestOf(planned.map(({ dispatches }) => scratchBytes(dispatches)));
    this.homes = sizes.map((bytes) => recorder.buffers.take(bytes));
    this.scratch = scratchSizes.map((bytes) => recorder.buffers.take(bytes));
    // What chains wait in begins as "not yet".
    if (steps.some((step) => step.chain)) recorder.clear(this.scratch[EXCHANGE]);
    const slots = planned.reduce((sum, { dispatches }) => sum + dispatches.length, 0);
    this.constants = recorder.gpu.device.createBuffer({ size: Math.max(slots, 1) * SLOT_BYTES, usage: Usage.uniform | Usage.copyTarget });
    const commands = planned.map((each) => this.prepare(each, homes));
    this.parts = Array.from({ length: Math.ceil(steps.length / PART_STEPS) }, (_, n) => commands.slice(n * PART_STEPS, (n + 1) * PART_STEPS))
      .map((part) => ({ entries: part.flatMap((c) => c.entries), prepared: part.flatMap((c) => c.prepared) }));
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

  private planned({ calls, chain }: Step): Planned {
    const entries = calls.map((call, i) => this.recorder.entry(call, chain?.first === i ? waitedInVain : undefined));
    const [entry] = entries;
    try {
      return { entries, dispatches: chain ? chain.dispatches(entries.map(({ fault }) => fault)) : dispatchesOf(entry.call, entry.fault, this.recorder.capabilities) };
    } catch (error) {
      this.fail(entry, error);
      return { entries, dispatches: [] };
    }
  }

  private prepare({ entries, dispatches }: Planned, homes: ReadonlyMap<BufferId, Home>): Command {
    const { gpu, stream } = this.recorder;
    const [entry] = entries;
    try {
      const parts = dispatches.map((dispatch) => prepare(dispatch, entries.some(({ fault }) => fault !== undefined), {
        gpu, faults: stream.faults,
        memory: (operand) => {
          const home = homes.get(operand.buffer);
          return home === undefined ? this.recorder.external(operand) : this.homes[home.home];
        },
        offset: ({ buffer }) => homes.get(buffer)?.offset ?? 0,
        scratch: (index) => this.scratch[index],
        constants: (words) => this.place(words),
      }));
      entry.pipelines = parts.map((part) => part.prepared.pipeline);
      entry.memories = parts.flatMap((part) => part.memories);
      return { entries, prepared: parts.map((part) => part.prepared) };
    } catch (error) {
      this.fail(entry, error);
      return { entries, prepared: [] };
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

/** Where temporaries live: what a chain keeps in one place, under the name of its first output. */
function housed(steps: readonly Step[], temporaries: ReadonlySet<BufferId>, bytesOf: (id: BufferId) => number): { homes: Map<BufferId, Home>; sizes: number[] } {
  const places = new Map(steps.flatMap(({ outputs, chain }) => [...(chain?.places ?? [])].map(([buffer, offset]) => [buffer, { host: outputs[0].buffer, offset }] as const)));
  const bytes = new Map(steps.flatMap(({ outputs, chain }) => (chain && outputs.length > 0 ? [[outputs[0].buffer, chain.bytes] as const] : [])));
  const hosted = (operands: readonly Operand[]) => operands.map((operand) => ({ ...operand, buffer: places.get(operand.buffer)?.host ?? operand.buffer }));
  const { homes, sizes } = assign(steps.map(({ inputs, outputs }) => ({ inputs: hosted(inputs), outputs: hosted(outputs) })), temporaries, (id) => bytes.get(id) ?? bytesOf(id));
  const all = new Map<BufferId, Home>([...homes].map(([id, home]) => [id, { home, offset: 0 }]));
  for (const [id, { host, offset }] of places) all.set(id, { home: homes.get(host)!, offset });
  return { homes: all, sizes };
}

/** From the first call that touches a temporary to the last. */
interface Span { first: number; last: number }

/**
 * Gives every temporary a buffer that no other has while it lives, the largest first, so that buffers
 * never grow (greedy by size: Pisarchyk and Lee, arXiv:2001.03288). What a call reads lives beside its
 * outputs: WebGPU refuses a buffer that one dispatch both reads and writes.
 */
export function assign(calls: readonly Pick<Call, 'inputs' | 'outputs'>[], temporaries: ReadonlySet<BufferId>, bytesOf: (id: BufferId) => number): { homes: Map<BufferId, number>; sizes: number[] } {
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
