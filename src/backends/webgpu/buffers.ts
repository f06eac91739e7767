// GPU memory of one backend: buffers by exact size, kept for reuse when they are freed.
//
// Reusing at once is safe, because all work of a backend runs in one queue in order. Destroying is
// not: a buffer may still be named by commands that were encoded and not submitted.

import { Usage } from './gpu.js';
import type { Gpu } from './gpu.js';

/** A GPU buffer; `failure` appears once the driver has refused it (see Watch). */
export interface Memory {
  /** In the order in which a backend made them. */
  readonly id: number;
  readonly buffer: GPUBuffer;
  readonly bytes: number;
  /** Bind groups in which it comes first, by what else they bind (see prepare.ts). */
  readonly bindGroups: Map<string, GPUBindGroup>;
  failure?: Error;
}

/**
 * Idle buffers beyond this are given back to the driver, least recently freed first. A GPU with large buffers
 * computes prompts in large steps, and what one layer of an 8B model leaves to the next is 0.7 GB there.
 */
const MOST_IDLE_BYTES = { small: 2 ** 28, large: 2 ** 30 };

export class Buffers {
  /** Bytes in use, and bytes idle. */
  used = 0;
  idle = 0;
  private readonly free = new Map<number, Memory[]>();
  private doomed: Memory[] = [];
  private nextId = 1;
  private readonly mostIdle: number;

  constructor(private readonly gpu: Gpu) {
    this.mostIdle = gpu.device.limits.maxStorageBufferBindingSize >= 2 ** 30 ? MOST_IDLE_BYTES.large : MOST_IDLE_BYTES.small;
  }

  /** A buffer of `bytes`, rounded up to words, with undefined contents: the oldest, so that equal steps get equal buffers. */
  take(bytes: number): Memory {
    const size = Math.max(Math.ceil(bytes / 4) * 4, 16);
    const found = this.free.get(size)?.pop();
    this.used += size;
    if (!found) return this.create(size);
    this.idle -= size;
    return found;
  }

  give(memory: Memory): void {
    this.used -= memory.bytes;
    if (memory.failure || this.gpu.lost) { this.doomed.push(memory); return; }
    const list = this.free.get(memory.bytes) ?? [];
    // Sizes that were used last stand last.
    this.free.delete(memory.bytes);
    this.free.set(memory.bytes, [...list, memory].sort((a, b) => b.id - a.id));
    this.idle += memory.bytes;
    for (const [size, memories] of this.free) {
      if (this.idle <= this.mostIdle) break;
      this.idle -= size * memories.length;
      this.doomed.push(...memories);
      this.free.delete(size);
    }
  }

  /** Destroys what was given up. Call when no encoded command waits for submission. */
  sweep(): void {
    for (const { buffer } of this.doomed) buffer.destroy();
    this.doomed = [];
  }

  dispose(): void {
    for (const memories of this.free.values()) this.doomed.push(...memories);
    this.free.clear();
    this.idle = 0;
    this.sweep();
  }

  private create(size: number): Memory {
    const { result, outcome } = this.gpu.guarded(['validation', 'out-of-memory'], () =>
      this.gpu.device.createBuffer({ size, usage: Usage.storage | Usage.copySource | Usage.copyTarget }));
    const memory: Memory = { id: this.nextId++, buffer: result, bytes: size, bindGroups: new Map() };
    this.gpu.watch.add(outcome, (error) => {
      memory.failure = new Error(`the GPU has no room for a buffer of ${size} bytes (${error.message}): use smaller weights or a shorter context`);
    });
    return memory;
  }
}
