// The one ordered stream of a backend's work: dispatches go into one open compute pass, call
// constants into one arena that is uploaded before the pass is submitted. Host writes overtake
// whatever is encoded and not submitted, so whoever writes must `submit` first.

import { Usage } from './gpu.js';
import type { Gpu, Pipeline } from './gpu.js';
import { Journal } from './journal.js';
import type { Batch, Item } from './journal.js';

/** A dispatch that is ready to encode, any number of times. */
export interface Prepared {
  readonly pipeline: Pipeline;
  readonly bindings: GPUBindGroup;
  readonly x: number;
  readonly y: number;
}

/** Words that kernels use to report faults; calls share them in turn. */
export const FAULT_WORDS = 1024;
export const SLOT_BYTES = 256;
/** Few enough that the GPU begins with a prompt while most of it is still being encoded. */
const ARENA_SLOTS = 64;
/** Larger staging buffers are made for one read. */
const MOST_KEPT_STAGING = 16 * 2 ** 20;

export class Stream {
  /** Counters for tests and benchmarks. */
  readonly counts = { dispatches: 0, submits: 0 };
  readonly faults: GPUBuffer;
  readonly journal: Journal;
  private readonly arena: GPUBuffer;
  private readonly constants = new Uint32Array((ARENA_SLOTS * SLOT_BYTES) / 4);
  private usedSlots = 0;
  private items: Item[] = [];
  private batches: Batch[] = [];
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  private bound: Pipeline | undefined;
  private readonly staging = new Map<number, GPUBuffer[]>();

  constructor(private readonly gpu: Gpu, name: string, private readonly afterSubmit: () => void) {
    const { device } = gpu;
    this.journal = new Journal(name, gpu.watch);
    this.arena = device.createBuffer({ size: ARENA_SLOTS * SLOT_BYTES, usage: Usage.uniform | Usage.copyTarget });
    this.faults = device.createBuffer({ size: FAULT_WORDS * 4, usage: Usage.storage | Usage.copySource | Usage.copyTarget });
  }

  /** Places one call's constants in the arena, to be used by commands encoded before the next submit. */
  place(words: readonly number[]): GPUBufferBinding {
    if (this.usedSlots === ARENA_SLOTS) this.submit();
    const offset = this.usedSlots++ * SLOT_BYTES;
    this.constants.set(words, offset / 4);
    return { buffer: this.arena, offset, size: constantBytes(words) };
  }

  encode({ pipeline, bindings, x, y }: Prepared): void {
    this.encoder ??= this.gpu.device.createCommandEncoder();
    this.pass ??= this.encoder.beginComputePass();
    if (this.bound !== pipeline) this.pass.setPipeline((this.bound = pipeline).pipeline);
    this.pass.setBindGroup(0, bindings);
    // Each argument costs a tenth of the call.
    if (y === 1) this.pass.dispatchWorkgroups(x);
    else this.pass.dispatchWorkgroups(x, y);
    this.counts.dispatches++;
  }

  /** Notes what happened, in order, for whoever reads a result later. */
  note(item: Item): void {
    this.items.push(item);
  }

  /** Hands everything encoded so far to the GPU. */
  submit(): void {
    const { encoder, pass } = this;
    let outcome: Promise<Error | undefined> = Promise.resolve(undefined);
    if (encoder) {
      const { device } = this.gpu;
      ({ outcome } = this.gpu.guarded(['validation', 'out-of-memory'], () => {
        if (this.usedSlots > 0) device.queue.writeBuffer(this.arena, 0, this.constants, 0, (this.usedSlots * SLOT_BYTES) / 4);
        pass?.end();
        device.queue.submit([encoder.finish()]);
      }));
      this.counts.submits++;
    }
    this.encoder = this.pass = this.bound = undefined;
    this.usedSlots = 0;
    if (this.items.length > 0) this.batches.push({ items: this.items, outcome });
    this.items = [];
    this.afterSubmit();
  }

  /**
   * Bytes of a buffer once all work so far is done and judged; offset and size are whole words.
   * Rejects with what `poison` answers then.
   */
  async read(source: GPUBuffer, offset: number, bytes: number, poison: () => Error | undefined): Promise<Uint8Array> {
    this.submit();
    const batches = this.batches;
    this.batches = [];
    const faultBytes = FAULT_WORDS * 4;
    const staging = this.takeStaging(bytes + faultBytes);
    // A submission of its own: where the buffer is one that the driver refused, only this one fails.
    const { outcome } = this.gpu.guarded(['validation', 'out-of-memory'], () => {
      const encoder = this.gpu.device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.faults, 0, staging, 0, faultBytes);
      encoder.clearBuffer(this.faults);
      if (bytes > 0) encoder.copyBufferToBuffer(source, offset, staging, faultBytes, bytes);
      this.gpu.device.queue.submit([encoder.finish()]);
    });
    const all = await this.gpu.mapped(staging, bytes + faultBytes).catch((error: Error) => {
      // Nothing was judged: the next read must do it.
      this.batches.unshift(...batches);
      throw error;
    });
    this.giveStaging(staging);
    const failed = await this.journal.settle(batches, new Uint32Array(all.buffer, 0, FAULT_WORDS), poison) ?? await outcome;
    if (failed) throw failed;
    return all.subarray(faultBytes);
  }

  dispose(): void {
    this.items = [];
    this.batches = [];
    this.encoder = this.pass = undefined;
    for (const buffer of [this.arena, this.faults, ...[...this.staging.values()].flat()]) buffer.destroy();
    this.staging.clear();
  }

  private takeStaging(bytes: number): GPUBuffer {
    const size = 2 ** Math.ceil(Math.log2(bytes));
    const found = this.staging.get(size)?.pop();
    // Where it cannot be had, mapping it fails and says so.
    return found ?? this.gpu.guarded(['validation', 'out-of-memory'], () => this.gpu.device.createBuffer({ size, usage: Usage.mapRead | Usage.copyTarget })).result;
  }

  private giveStaging(buffer: GPUBuffer): void {
    if (buffer.size > MOST_KEPT_STAGING) { buffer.destroy(); return; }
    this.staging.set(buffer.size, [...(this.staging.get(buffer.size) ?? []), buffer]);
  }
}

/** Uniform bindings are whole vectors of 16 bytes. */
export function constantBytes(words: readonly number[]): number {
  return Math.ceil(words.length / 4) * 16;
}
