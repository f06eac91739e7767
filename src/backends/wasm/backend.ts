// The wasm backend: keeps the ordered stream of calls, writes and frees, hands it on in batches,
// and knows which buffers there are.

import type { Attrs, Backend, BufferId, Call, Operand, Plan, Spec, StreamCounts, StreamedBuffer } from '../../tensor/index.js';
import { byteLength, getOp, MEMORY64_CAPACITY } from '../../tensor/index.js';
import { back, Batch, giveBack } from './batch.js';
import type { Entry } from './batch.js';
import { runReference } from './definition.js';
import type { Heap } from './heap.js';
import { lowerings } from './lower/index.js';
import { samePacking } from './matrix-layout.js';
import { PartCache, readStreamed } from './part-cache.js';
import { layoutsOf, RecordedPlan } from './plan.js';
import type { Layouts } from './plan.js';
import { settleCall } from './poison.js';
import type { Executor } from './pool.js';
import { REPEAT_LIMIT } from './schedule.js';
import { Stream } from './stream.js';
import type { Job } from './stream.js';
import { Streaming } from './streaming.js';
import type { Slot, SlotCall } from './task.js';

/** A batch is closed when its calls write this much: their buffers can then be used again. */
const BATCH_BYTES = 96 * 2 ** 20;

/** A plan, and what tests and measurements look at. */
export interface WasmPlan extends Plan { readonly barriers: number; readonly job: Job }

export interface BackendSettings {
  /** Largest op of a recorded step, in multiplications, that every thread does for itself. */
  readonly repeatLimit?: number;
  /** Makes a backend with 64-bit addresses; undefined where there is no such thing. */
  readonly widen?: () => Promise<WasmBackend>;
  /** Whether the engine joins pairs of instructions. */
  readonly revectorized?: boolean;
}

export class WasmBackend implements Backend {
  readonly name = 'wasm';
  readonly stepsAhead = 1;
  readonly fusesCalls = true;
  private readonly slots = new Map<BufferId, Slot>();
  private readonly repeatLimit: number;
  private readonly widen: BackendSettings['widen'];
  private stream: Stream;
  private streaming: Streaming | undefined;
  private pending: Entry[] = [];
  private pendingBytes = 0;
  private nextId = 1;
  private disposed = false;

  constructor(private heap: Heap, executor: Executor, { repeatLimit = REPEAT_LIMIT, widen, revectorized = false }: BackendSettings = {}) {
    this.stream = new Stream(heap, executor, () => heap.settle(), revectorized);
    this.repeatLimit = repeatLimit;
    this.widen = widen;
  }

  get capacity(): number { return this.widen ? MEMORY64_CAPACITY : this.heap.capacity; }
  get threads(): number { return this.stream.threads; }

  /** Ops without a kernel run their own definition on the calling thread. */
  supports(op: string, inputs: readonly Spec[], attrs: Attrs): boolean {
    return lowerings.get(op)?.supports(inputs, attrs) ?? !getOp(op).compose;
  }

  /** 32-bit addresses are faster, and do for most models: 64-bit ones are taken here, where a model needs them. */
  async reserve(bytes: number, later = 0): Promise<void> {
    if (bytes > this.capacity) throw new RangeError(tooLarge(bytes, this.capacity));
    if (bytes + later > this.heap.capacity) await this.goWide();
    this.heap.reserve(bytes);
  }

  alloc(bytes: number): BufferId {
    if (this.disposed) throw new Error('the wasm backend was disposed');
    const id = this.nextId++;
    this.slots.set(id, { bytes });
    return id;
  }

  allocStreamed(buffers: readonly StreamedBuffer[], cacheBytes: number): BufferId[] {
    if (this.streaming) throw new Error('the wasm backend streams already');
    const cache = new PartCache(this.heap, buffers, cacheBytes);
    this.streaming = new Streaming(cache, this.heap, this.stream.threads);
    this.stream.need(this.streaming.scratch, 0);
    return cache.matrices.map((streamed) => {
      const id = this.nextId++;
      this.slots.set(id, { bytes: byteLength(streamed.source.spec), packed: streamed.packing, streamed });
      return id;
    });
  }

  get streamCounts(): StreamCounts | undefined { return this.streaming?.cache.counts; }

  free(buffer: BufferId): void {
    const slot = this.slot(buffer);
    this.slots.delete(buffer);
    if (this.pending.length > 0) this.pending.push({ kind: 'free', slot });
    else this.release(slot);
  }

  write(buffer: BufferId, offset: number, bytes: Uint8Array): void {
    const slot = this.slot(buffer);
    this.checkWrite(slot, offset, bytes.byteLength);
    this.settleLayouts(new Map([[slot, undefined]]));
    if (this.idle) {
      back(slot, this.heap);
      this.heap.bytes.set(bytes, slot.address! + offset);
      slot.poison = undefined;
      return;
    }
    const from: Slot = { bytes: bytes.byteLength, address: this.heap.take(bytes.byteLength, 'now') };
    this.heap.bytes.set(bytes, from.address);
    this.add({ kind: 'write', slot, offset, from }, from.bytes);
  }

  async fill(buffer: BufferId, offset: number, length: number, put: (memory: Uint8Array) => Promise<void>): Promise<void> {
    const slot = this.slot(buffer);
    if (this.idle && !slot.packed && this.heap.shared) {
      this.checkWrite(slot, offset, length);
      back(slot, this.heap);
      await put(this.heap.bytes.subarray(slot.address! + offset, slot.address! + offset + length));
      slot.poison = undefined;
      return;
    }
    const bytes = new Uint8Array(length);
    await put(bytes);
    this.write(buffer, offset, bytes);
  }

  append(call: Call): void {
    if (!lowerings.has(call.op)) { this.runDefinition(this.slotCall(call)); return; }
    const written = call.outputs.reduce((sum, { spec }) => sum + byteLength(spec), 0);
    this.add({ kind: 'call', call: this.slotCall(call) }, written);
  }

  flush(): void {
    if (this.pending.length === 0) return;
    const entries = this.pending;
    this.pending = [];
    this.pendingBytes = 0;
    this.stream.push(new Batch(entries, this.heap, this.stream, this.streaming).job());
  }

  async read(buffer: BufferId, offset: number, byteCount: number): Promise<Uint8Array> {
    const slot = this.slot(buffer);
    if (slot.streamed) return readStreamed(slot.streamed, offset, byteCount);
    this.flush();
    if (!slot.packed) return this.fetch(slot, offset, byteCount);
    const plain: Slot = { bytes: slot.bytes };
    this.add({ kind: 'unpack', slot, to: plain }, 0);
    this.flush();
    const bytes = this.fetch(plain, offset, byteCount);
    this.release(plain);
    return bytes;
  }

  record(calls: readonly Call[], keep: readonly BufferId[]): WasmPlan {
    const kept = new Set(keep);
    const ids = new Set(calls.flatMap((call) => call.outputs.map(({ buffer }) => buffer)).filter((id) => !kept.has(id)));
    const list = calls.map((call) => this.slotCall(call));
    const layouts = layoutsOf(list);
    this.settleLayouts(layouts);
    const plan = this.recorded(list, ids, layouts);
    let live = true;
    return {
      barriers: plan.barriers,
      job: plan.job,
      replay: () => {
        if (!live) throw new Error('replay: the plan was disposed');
        this.settleLayouts(layouts);
        this.flush();
        this.stream.push(plan.job);
      },
      dispose: () => {
        if (!live) return;
        live = false;
        for (const id of ids) this.slots.delete(id);
        plan.dispose();
        if (this.stream.idle) this.heap.settle();
      },
    };
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.slots.clear();
    this.pending = [];
    this.stream.dispose();
    this.heap.dispose();
  }

  /** The plan of calls; where there is no memory for it, what they would have written goes with it. */
  private recorded(calls: readonly SlotCall[], temporaries: ReadonlySet<BufferId>, layouts: Layouts): RecordedPlan {
    try {
      return new RecordedPlan(calls, new Set([...temporaries].map((id) => this.slot(id))), layouts, this.heap, this.stream, this.repeatLimit, this.streaming);
    } catch (error) {
      for (const id of temporaries) this.slots.delete(id);
      throw error;
    }
  }

  /** Takes another backend's memory and threads for its own, where there is one and while nothing lies in memory. */
  private async goWide(): Promise<void> {
    const used = !this.idle || [...this.slots.values()].some(({ address }) => address !== undefined);
    if (!this.widen || used) return;
    const { heap, stream } = await this.widen();
    if (this.disposed) { stream.dispose(); return; }
    this.stream.dispose();
    this.heap.dispose();
    Object.assign(this, { heap, stream });
  }

  /** Nothing is under way: memory can be read and written at once. */
  private get idle(): boolean {
    return this.stream.idle && this.pending.length === 0;
  }

  private add(entry: Entry, bytes: number): void {
    this.pending.push(entry);
    this.pendingBytes += bytes;
    if (this.pendingBytes > BATCH_BYTES) this.flush();
  }

  private release(slot: Slot): void {
    giveBack(slot, this.heap);
    if (this.stream.idle) this.heap.settle();
  }

  /** Takes its turn in the stream as a job without records: what was appended before is done then. */
  private runDefinition(call: SlotCall): void {
    const streamed = call.inputs.find(({ slot }) => slot.streamed)?.slot.streamed;
    if (streamed) throw new Error(`${call.call.op} cannot use ${streamed.source.name}, which is streamed`);
    this.settleLayouts(new Map([...call.inputs, ...call.outputs].map(({ slot }) => [slot, undefined])));
    this.flush();
    // Memory is taken in the stream's order, like a batch's: by the time of `done`, later frees have been seen.
    for (const { slot } of [...call.inputs, ...call.outputs]) back(slot, this.heap);
    const done = () => {
      if (this.disposed) return;
      settleCall(call, runReference(call, this.heap));
    };
    if (this.stream.idle) done();
    else this.stream.push({ records: 0, count: 0, done });
  }

  /** Makes matrices lie as `layouts` says, from here on in the stream. */
  private settleLayouts(layouts: Layouts): void {
    // What a buffer's layout will be is known once everything before has been lowered.
    if (layouts.size > 0) this.flush();
    for (const [slot, packing] of layouts) {
      if (samePacking(slot.packed, packing)) continue;
      back(slot, this.heap);
      this.add({ kind: 'layout', slot, packing }, 0);
    }
    this.flush();
  }

  /** A read is a job that runs nothing: its turn comes when everything before is done. */
  private fetch(slot: Slot, offset: number, byteCount: number): Promise<Uint8Array> {
    if (offset < 0 || offset + byteCount > slot.bytes) throw new RangeError(`read of ${byteCount} bytes at ${offset} exceeds a buffer of ${slot.bytes}`);
    return new Promise((resolve, reject) => {
      const done = () => {
        if (slot.poison) { reject(slot.poison); return; }
        if (this.disposed) { reject(new Error('the wasm backend was disposed')); return; }
        try {
          back(slot, this.heap);
          const start = slot.address! + offset;
          // A copy in memory of its own: what is shared may change, and cannot be handed to everything.
          resolve(new Uint8Array(this.heap.bytes.subarray(start, start + byteCount)));
        } catch (error) {
          // No memory for it: the reader's misfortune, not the stream's.
          reject(error);
        }
      };
      if (this.stream.idle) done();
      else this.stream.push({ records: 0, count: 0, done });
    });
  }

  private checkWrite({ bytes, streamed }: Slot, offset: number, length: number): void {
    if (offset + length > bytes) throw new RangeError(`write of ${length} bytes at ${offset} exceeds a buffer of ${bytes}`);
    if (streamed) throw new Error(`${streamed.source.name} is streamed and cannot be written to`);
  }

  private slotCall(call: Call): SlotCall {
    const ref = ({ buffer, spec }: Operand) => ({ slot: this.slot(buffer), spec });
    return { call, inputs: call.inputs.map(ref), outputs: call.outputs.map(ref) };
  }

  private slot(buffer: BufferId): Slot {
    const slot = this.slots.get(buffer);
    if (!slot) throw new Error(`buffer ${buffer} does not exist or was freed`);
    return slot;
  }
}

function tooLarge(bytes: number, capacity: number): string {
  const [wanted, most, wide] = [bytes, capacity, MEMORY64_CAPACITY].map((size) => `${Math.ceil(size / 2 ** 20)} MiB`);
  const more = capacity < MEMORY64_CAPACITY ? `; with 64-bit addresses, which need Node 24 or newer (or a current browser and a cross-origin isolated page), ${wide}` : '';
  return `wasm: ${wanted} cannot be had: a model may take ${most}${more}`;
}
