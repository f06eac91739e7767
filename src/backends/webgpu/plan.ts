// A recorded list of calls: pipelines, bind groups and constants are made once, so that a replay
// only encodes dispatches. (WebGPU's command buffers can be submitted once, so they are no help.)

import type { BufferId, Call, Operand, Plan } from '../../tensor/index.js';
import type { Buffers, Memory } from './buffers.js';
import { Usage } from './gpu.js';
import type { Gpu } from './gpu.js';
import type { Entry } from './journal.js';
import { constantBytes, SLOT_BYTES } from './stream.js';
import type { Prepared, Stream } from './stream.js';
import { dispatchOf, prepare } from './prepare.js';

/** What a plan needs of the backend that records it. */
export interface Recorder {
  readonly gpu: Gpu;
  readonly stream: Stream;
  readonly buffers: Buffers;
  /** The caller's own buffer, backed by memory. */
  external(operand: Operand): Memory;
  bytesOf(buffer: BufferId): number;
  entry(call: Call): Entry;
}

export class GpuPlan implements Plan {
  private readonly memories: readonly Memory[];
  private readonly constants: GPUBuffer;
  private readonly prepared: Prepared[] = [];
  private readonly entries: Entry[] = [];
  private disposed = false;

  constructor(private readonly recorder: Recorder, calls: readonly Call[], temporaries: ReadonlySet<BufferId>, private readonly afterDispose: () => void) {
    const { homes, sizes } = assign(calls, temporaries, (id) => recorder.bytesOf(id));
    this.memories = sizes.map((bytes) => recorder.buffers.take(bytes));
    this.constants = recorder.gpu.device.createBuffer({ size: Math.max(calls.length, 1) * SLOT_BYTES, usage: Usage.uniform | Usage.copyTarget });
    for (const call of calls) this.add(call, homes);
  }

  /** Number of dispatches that one replay makes. */
  get dispatches(): number {
    return this.prepared.length;
  }

  replay(): void {
    if (this.disposed) throw new Error('replay: the plan was disposed');
    const { stream, gpu } = this.recorder;
    if (gpu.lost) return;
    for (const prepared of this.prepared) stream.encode(prepared);
    stream.note(this.entries);
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.recorder.stream.submit();
    this.constants.destroy();
    for (const memory of this.memories) this.recorder.buffers.give(memory);
    this.afterDispose();
  }

  private add(call: Call, homes: ReadonlyMap<BufferId, number>): void {
    const { gpu, stream } = this.recorder;
    const entry = this.recorder.entry(call);
    this.entries.push(entry);
    try {
      const { prepared, memories } = prepare(dispatchOf(call, entry.fault), entry.fault !== undefined, {
        gpu, faults: stream.faults,
        memory: (operand) => {
          const home = homes.get(operand.buffer);
          return home === undefined ? this.recorder.external(operand) : this.memories[home];
        },
        constants: (words) => this.place(words),
      });
      this.prepared.push(prepared);
      entry.pipeline = prepared.pipeline;
      entry.memories = memories;
    } catch (error) {
      entry.failure = error as Error;
      gpu.watch.troubled = true;
    }
  }

  private place(words: readonly number[]): GPUBufferBinding {
    const offset = this.prepared.length * SLOT_BYTES;
    this.recorder.gpu.device.queue.writeBuffer(this.constants, offset, new Uint32Array(words));
    return { buffer: this.constants, offset, size: constantBytes(words) };
  }
}

/**
 * Gives every temporary a buffer, reused once its last reader is past. What a call reads is freed
 * only after its outputs are placed: WebGPU refuses a buffer that one dispatch both reads and writes.
 */
export function assign(calls: readonly Call[], temporaries: ReadonlySet<BufferId>, bytesOf: (id: BufferId) => number): { homes: Map<BufferId, number>; sizes: number[] } {
  const lastUse = new Map<BufferId, number>();
  const touched = ({ inputs, outputs }: Call) => [...new Set([...outputs, ...inputs].map((o) => o.buffer))].filter((id) => temporaries.has(id));
  calls.forEach((call, i) => { for (const id of touched(call)) lastUse.set(id, i); });
  const homes = new Map<BufferId, number>();
  const sizes: number[] = [];
  const idle = new Set<number>();
  calls.forEach((call, i) => {
    const mine = touched(call);
    for (const id of mine) {
      if (homes.has(id)) continue;
      const home = bestFit(idle, sizes, bytesOf(id)) ?? sizes.push(0) - 1;
      idle.delete(home);
      sizes[home] = Math.max(sizes[home], bytesOf(id));
      homes.set(id, home);
    }
    for (const id of mine) if (lastUse.get(id) === i) idle.add(homes.get(id)!);
  });
  return { homes, sizes };
}

/** The smallest idle buffer that is large enough, else the largest, which then grows. */
function bestFit(idle: ReadonlySet<number>, sizes: readonly number[], bytes: number): number | undefined {
  const bySize = [...idle].sort((a, b) => sizes[a] - sizes[b] || a - b);
  return bySize.find((home) => sizes[home] >= bytes) ?? bySize.at(-1);
}
