// The WebGPU backend: one ordered stream of dispatches on a GPU, from Node (Dawn) or a browser.
//
// Calls become dispatches at once and are submitted later (flush, read, host write). Temporaries
// come from a pool by exact size; an output never shares a buffer with an input. A call that fails
// (refused by the driver, out of memory, a fault in its kernel) poisons what it writes; a lost
// device rejects every read from then on, and everything can still be freed.

import { checkBytes } from '../../tensor/index.js';
import type { Attrs, Backend, BufferId, Call, Operand, Plan, Spec } from '../../tensor/index.js';
import { Buffers } from './buffers.js';
import type { Memory } from './buffers.js';
import { acquireGpu, Usage } from './gpu.js';
import type { Gpu } from './gpu.js';
import type { Entry, Judged } from './journal.js';
import type { Capabilities } from './kernel.js';
import { kernelOf } from './kernels/index.js';
import { GpuPlan } from './plan.js';
import type { Recorder } from './plan.js';
import { isPacked, packing } from './packing.js';
import { dispatchesOf, prepare, scratchBytes } from './prepare.js';
import { FAULT_WORDS, Stream } from './stream.js';

interface Slot extends Judged {
  readonly bytes: number;
  memory?: Memory;
  /** What it was packed as (see packing.ts), while it is. */
  packed?: Spec;
}

export class WebGpuBackend implements Backend {
  readonly name = 'webgpu';
  readonly stepsAhead = 3;
  readonly fusesCalls = true;
  readonly promptChunk: number;
  roundsFloats = false;
  private readonly slots = new Map<BufferId, Slot>();
  private readonly buffers: Buffers;
  private readonly stream: Stream;
  private readonly plans = new Set<GpuPlan>();
  /** What was unpacked for the host, and plans expect packed. */
  private readonly unpacked = new Map<Slot, Spec>();
  private nextId = 1;
  private nextFault = 0;
  private disposed = false;

  constructor(readonly gpu: Gpu, private readonly release: () => void = () => undefined) {
    // A step's largest activations must fit what a kernel can see at once.
    this.promptChunk = gpu.device.limits.maxStorageBufferBindingSize >= 2 ** 30 ? 2048 : 512;
    this.buffers = new Buffers(gpu);
    this.stream = new Stream(gpu, this.name, () => this.buffers.sweep());
  }

  /** What it holds and has done, for tests and benchmarks. */
  get counts() {
    const { used, idle } = this.buffers;
    return { ...this.stream.counts, buffers: this.slots.size, usedBytes: used, idleBytes: idle, plannedDispatches: [...this.plans].map((plan) => plan.dispatches) };
  }

  /** What kernels may make use of now. */
  get capabilities(): Capabilities {
    return { ...this.gpu.capabilities, roundsFloats: this.roundsFloats };
  }

  supports(op: string, inputs: readonly Spec[], attrs: Attrs): boolean {
    return kernelOf(op)?.accepts(inputs, attrs, this.gpu.capabilities) ?? false;
  }

  /** WebGPU does not tell how much memory is free, so the bytes are taken for a moment. */
  async reserve(bytes: number): Promise<void> {
    if (this.gpu.lost) throw this.gpu.lost;
    const { device } = this.gpu;
    const chunk = Math.floor(device.limits.maxBufferSize / 4) * 4;
    const trial: GPUBuffer[] = [];
    try {
      for (let taken = 0; taken < bytes; taken += chunk) {
        const size = Math.ceil(Math.min(chunk, bytes - taken) / 4) * 4;
        const { result, outcome } = this.gpu.guarded(['validation', 'out-of-memory'], () => device.createBuffer({ size, usage: Usage.storage }));
        trial.push(result);
        if (await outcome) throw new Error(`the weights take ${bytes} bytes and the GPU (${this.gpu.adapterName}) had room for about ${taken}: use smaller weights or another backend`);
      }
    } finally {
      for (const buffer of trial) buffer.destroy();
      await this.drain();
    }
  }

  /** The driver gives memory back (destroyed buffers', and what writes were copied to on their way) behind a submission, even one of nothing. */
  async drain(): Promise<void> {
    this.stream.submit();
    const { queue } = this.gpu.device;
    queue.submit([]);
    await queue.onSubmittedWorkDone();
  }

  alloc(bytes: number): BufferId {
    const id = this.nextId++;
    this.slots.set(id, { bytes });
    return id;
  }

  free(buffer: BufferId): void {
    if (this.disposed) return;
    const slot = this.slot(buffer);
    const { memory } = slot;
    this.slots.delete(buffer);
    this.unpacked.delete(slot);
    if (memory) this.buffers.give(memory);
  }

  write(buffer: BufferId, offset: number, bytes: Uint8Array): void {
    const slot = this.slot(buffer);
    if (offset + bytes.byteLength > slot.bytes) throw new RangeError(`write of ${bytes.byteLength} bytes at ${offset} exceeds a buffer of ${slot.bytes}`);
    if (this.gpu.lost || bytes.byteLength === 0) return;
    const memory = this.memory(slot);
    this.unpack(slot);
    // Host writes go to the queue at once: everything encoded before must be there already.
    this.stream.submit();
    const head = Math.min((4 - (offset % 4)) % 4, bytes.byteLength);
    const words = Math.floor((bytes.byteLength - head) / 4) * 4;
    if (words > 0) this.gpu.guarded(['validation'], () => this.gpu.device.queue.writeBuffer(memory.buffer, offset + head, bytes as Uint8Array<ArrayBuffer>, head, words));
    this.patch(memory, offset, bytes.subarray(0, head));
    this.patch(memory, offset + head + words, bytes.subarray(head + words));
    this.stream.note({ written: slot });
  }

  append(call: Call): void {
    if (this.gpu.lost) return;
    const entry = this.entry(call);
    let scratch: readonly Memory[] = [];
    try {
      const dispatches = dispatchesOf(call, entry.fault, this.capabilities);
      scratch = scratchBytes(dispatches).map((bytes) => this.buffers.take(bytes));
      const parts = dispatches.map((dispatch) => {
        const part = prepare(dispatch, entry.fault !== undefined, {
          gpu: this.gpu, faults: this.stream.faults,
          memory: (operand) => this.external(operand),
          scratch: (index) => scratch[index],
          constants: (words) => this.stream.place(words), recurs: true,
        });
        this.stream.encode(part.prepared);
        return part;
      });
      entry.pipelines = parts.map((part) => part.prepared.pipeline);
      entry.memories = parts.flatMap((part) => part.memories);
    } catch (error) {
      entry.failure = error as Error;
      this.gpu.watch.troubled = true;
    } finally {
      for (const memory of scratch) this.buffers.give(memory);
    }
    this.stream.note(entry);
  }

  flush(): void {
    if (!this.gpu.lost) this.stream.submit();
  }

  async read(buffer: BufferId, offset: number, byteCount: number): Promise<Uint8Array> {
    const slot = this.slot(buffer);
    if (offset + byteCount > slot.bytes) throw new RangeError(`read of ${byteCount} bytes at ${offset} exceeds a buffer of ${slot.bytes}`);
    if (this.gpu.lost) throw this.gpu.lost;
    const first = Math.floor(offset / 4) * 4;
    const end = Math.ceil((offset + byteCount) / 4) * 4;
    this.unpack(slot);
    const words = await this.stream.read(this.memory(slot).buffer, first, end - first, () => slot.poison);
    return offset === first ? words.subarray(0, byteCount) : words.slice(offset - first, offset - first + byteCount);
  }

  record(calls: readonly Call[], keep: readonly BufferId[]): Plan {
    const kept = new Set(keep);
    const temporaries = new Set(calls.flatMap((c) => c.outputs.map((o) => o.buffer)).filter((id) => !kept.has(id)));
    const recorder: Recorder = {
      gpu: this.gpu, stream: this.stream, buffers: this.buffers, capabilities: this.capabilities,
      external: (operand) => this.external(operand), bytesOf: (id) => this.slot(id).bytes, entry: (call, explain) => this.entry(call, explain), clear: (memory) => this.clear(memory), repack: () => this.repack(),
    };
    const plan = new GpuPlan(recorder, calls, temporaries, () => {
      this.plans.delete(plan);
      for (const id of temporaries) this.slots.delete(id);
    });
    this.plans.add(plan);
    return plan;
  }

  dispose(): void {
    if (this.disposed) return;
    for (const plan of this.plans) plan.dispose();
    this.disposed = true;
    for (const { memory } of this.slots.values()) if (memory) this.buffers.give(memory);
    this.slots.clear();
    this.stream.dispose();
    this.buffers.dispose();
    this.release();
  }

  private entry(call: Call, explain?: Entry['explain']): Entry {
    const fault = explain || kernelOf(call.op)?.fault ? this.nextFault++ % FAULT_WORDS : undefined;
    return { call, inputs: call.inputs.map((i) => this.slot(i.buffer)), outputs: call.outputs.map((o) => this.slot(o.buffer)), fault, explain };
  }

  /** Makes memory zeros, behind all that was encoded so far. */
  private clear({ buffer }: Memory): void {
    this.stream.submit();
    this.gpu.guarded(['validation'], () => {
      const encoder = this.gpu.device.createCommandEncoder();
      encoder.clearBuffer(buffer);
      this.gpu.device.queue.submit([encoder.finish()]);
    });
  }

  private external({ buffer, spec }: Operand): Memory {
    const slot = this.slot(buffer);
    checkBytes(spec, slot.bytes);
    const memory = this.memory(slot);
    if (isPacked(spec)) this.pack(slot, spec);
    return memory;
  }

  private pack(slot: Slot, spec: Spec): void {
    if (slot.packed) return;
    this.arrange(slot, spec, false);
    slot.packed = spec;
    this.unpacked.delete(slot);
  }

  private unpack(slot: Slot): void {
    if (!slot.packed) return;
    this.arrange(slot, slot.packed, true);
    this.unpacked.set(slot, slot.packed);
    slot.packed = undefined;
  }

  /** Packs again what the host has seen since plans were recorded. */
  private repack(): void {
    for (const [slot, spec] of this.unpacked) this.pack(slot, spec);
  }

  private arrange(slot: Slot, spec: Spec, unpack: boolean): void {
    const memory = this.memory(slot);
    for (const dispatch of packing(spec, unpack, this.gpu.capabilities)) {
      this.stream.encode(prepare(dispatch, false, {
        gpu: this.gpu, faults: this.stream.faults, memory: () => memory, scratch: () => memory, constants: (words) => this.stream.place(words),
      }).prepared);
    }
  }

  private memory(slot: Slot): Memory {
    return slot.memory ??= this.buffers.take(slot.bytes);
  }

  /** Writes up to three bytes that share a word with others. */
  private patch(memory: Memory, offset: number, bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    const shift = offset % 4;
    let [mask, value] = [0, 0];
    bytes.forEach((byte, i) => {
      mask |= 0xff << (8 * (shift + i));
      value |= byte << (8 * (shift + i));
    });
    const operand: Operand = { buffer: 0, spec: { shape: [memory.bytes / 4], dtype: 'i32' } };
    const { prepared } = prepare({ source: 'patch', writes: [operand], reads: [], constants: [Math.floor(offset / 4), mask, value], groups: 1, group: 1 }, false, {
      gpu: this.gpu, faults: this.stream.faults, memory: () => memory, scratch: () => memory, constants: (words) => this.stream.place(words),
    });
    this.stream.encode(prepared);
  }

  private slot(buffer: BufferId): Slot {
    const slot = this.slots.get(buffer);
    if (!slot) throw new Error(`buffer ${buffer} does not exist or was freed`);
    return slot;
  }
}

/** Opens the GPU, or joins the one that is open; rejects with what is missing. */
export async function createBackend(): Promise<WebGpuBackend> {
  const { gpu, release } = await acquireGpu();
  return new WebGpuBackend(gpu, release);
}
