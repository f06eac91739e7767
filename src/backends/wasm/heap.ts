// Memory of one model: a WebAssembly.Memory that grows and never shrinks, and who has which bytes.
//
// Two kinds of free memory, because work is queued. What was given back may still be read by
// queued work, and `stream` requests may have it at once, for they are used by work behind it in
// the queue. What this thread writes itself must be free now: only `settle`, called when nothing is
// queued, makes the one the other.

import { memory64 } from '../../platform/index.js';
import { MEMORY64_CAPACITY, WASM_CAPACITY } from '../../tensor/index.js';

const PAGE = 65536;
const ALIGNMENT = 64;
/** Growing is a system call and moves views: not less than this at a time. */
const LEAST_GROWTH = 16 * 2 ** 20;

/** Where memory is wanted: by queued work, or by this thread now. */
export type Use = 'stream' | 'now';

export class Heap {
  private now = new Ranges();
  private later = new Ranges();
  private views: { buffer: ArrayBufferLike; bytes: Uint8Array; words: Int32Array };

  /** `wide`: the memory has 64-bit addresses. */
  constructor(private memory: WebAssembly.Memory, base: number, private readonly wide = false) {
    this.views = this.viewsOf(memory.buffer);
    this.now.give(align(base), memory.buffer.byteLength);
  }

  static memory(shared: boolean, wide = false): WebAssembly.Memory {
    const initial = LEAST_GROWTH / PAGE;
    if (wide) return memory64({ address: 'i64', initial: BigInt(initial), maximum: BigInt(MEMORY64_CAPACITY / PAGE), shared });
    return new WebAssembly.Memory({ initial, maximum: WASM_CAPACITY / PAGE, shared });
  }

  get capacity(): number { return this.wide ? MEMORY64_CAPACITY : WASM_CAPACITY; }

  /** All of the memory, as it is now: growing makes new views. */
  get bytes(): Uint8Array { return this.current().bytes; }
  get words(): Int32Array { return this.current().words; }

  /** Whether views stay valid when the memory grows. */
  get shared(): boolean { return typeof SharedArrayBuffer === 'function' && this.memory.buffer instanceof SharedArrayBuffer; }

  /** Address of `size` bytes, aligned to 64. */
  take(size: number, use: Use): number {
    const wanted = Math.max(align(size), ALIGNMENT);
    const found = (use === 'stream' ? this.later.take(wanted) : undefined) ?? this.now.take(wanted);
    if (found !== undefined) return found;
    this.grow(wanted);
    return this.now.take(wanted)!;
  }

  give(address: number, size: number): void {
    this.later.give(address, address + Math.max(align(size), ALIGNMENT));
  }

  /** Nothing is queued: all free memory is free now. */
  settle(): void {
    if (this.later.empty) return;
    for (const [start, end] of this.later.all()) this.now.give(start, end);
    this.later = new Ranges();
  }

  /** Makes sure that `size` bytes can be had, in any number of pieces that loading asks for. */
  reserve(size: number): void {
    const missing = size - this.now.total - this.later.total;
    if (missing > 0) this.grow(missing);
  }

  /** Lets go of the memory: it is gone when the workers have let go too. */
  dispose(): void {
    this.memory = new WebAssembly.Memory({ initial: 0 });
    this.now = new Ranges();
    this.later = new Ranges();
    this.views = this.viewsOf(this.memory.buffer);
  }

  private grow(size: number): void {
    const before = this.memory.buffer.byteLength;
    const needed = Math.ceil(size / PAGE);
    const wanted = Math.min(Math.max(needed, LEAST_GROWTH / PAGE), Math.max(needed, (this.capacity - before) / PAGE));
    try {
      this.memory.grow((this.wide ? BigInt(wanted) : wanted) as number);
    } catch (error) {
      throw new RangeError(`wasm: ${mebibytes(size)} MiB more cannot be had: ${mebibytes(before)} MiB are in use and a model may take ${mebibytes(this.capacity)} MiB`, { cause: error });
    }
    this.now.give(before, this.memory.buffer.byteLength);
  }

  private current() {
    const { buffer } = this.memory;
    if (this.views.buffer !== buffer) this.views = this.viewsOf(buffer);
    return this.views;
  }

  private viewsOf(buffer: ArrayBufferLike) {
    return { buffer, bytes: new Uint8Array(buffer), words: new Int32Array(buffer) };
  }
}

/** Free ranges in order of address; neighbours are joined. */
class Ranges {
  private readonly list: [start: number, end: number][] = [];

  get empty(): boolean { return this.list.length === 0; }
  get total(): number { return this.list.reduce((sum, [start, end]) => sum + end - start, 0); }
  all(): readonly (readonly [number, number])[] { return this.list; }

  /** The first range that is large enough gives its beginning. */
  take(size: number): number | undefined {
    const index = this.list.findIndex(([start, end]) => end - start >= size);
    if (index < 0) return undefined;
    const range = this.list[index];
    const { 0: start } = range;
    range[0] += size;
    if (range[0] === range[1]) this.list.splice(index, 1);
    return start;
  }

  give(start: number, end: number): void {
    let index = this.list.findIndex(([other]) => other > start);
    if (index < 0) index = this.list.length;
    const [before, after] = [this.list[index - 1], this.list[index]];
    if (before?.[1] === start && after?.[0] === end) { before[1] = after[1]; this.list.splice(index, 1); }
    else if (before?.[1] === start) before[1] = end;
    else if (after?.[0] === end) after[0] = start;
    else this.list.splice(index, 0, [start, end]);
  }
}

function align(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 2 ** 20);
}
