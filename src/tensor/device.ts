// A device is a backend plus what the eager front end must remember about it: live bytes, and
// whether calls are being captured (to become a plan) instead of run.

import type { Backend, BufferId, Call, StreamedBuffer } from './backend.js';
import { byteLength } from './dtype.js';

/** Calls captured instead of run, with the buffers made meanwhile. */
export interface Capture {
  readonly calls: Call[];
  readonly made: Set<BufferId>;
}

export class Device {
  private bytes = 0;
  private capturing: Capture | undefined;

  constructor(readonly backend: Backend) {}

  /** Bytes of all buffers that were allocated and not freed. */
  get liveBytes(): number {
    return this.bytes;
  }

  alloc(bytes: number): BufferId {
    const id = this.backend.alloc(bytes);
    this.bytes += bytes;
    this.capturing?.made.add(id);
    return id;
  }

  /** Buffers whose contents are fetched on use; see Backend. They count as live in full. */
  stream(buffers: readonly StreamedBuffer[], cacheBytes: number): BufferId[] {
    if (!this.backend.allocStreamed) throw new Error(`the ${this.backend.name} backend holds all weights in memory`);
    const ids = this.backend.allocStreamed(buffers, cacheBytes);
    for (const { spec } of buffers) this.bytes += byteLength(spec);
    return ids;
  }

  free(buffer: BufferId, bytes: number): void {
    this.bytes -= bytes;
    // A captured temporary belongs to the plan; it was never backed by memory of its own.
    if (this.capturing?.made.has(buffer)) return;
    this.backend.free(buffer);
  }

  append(call: Call): void {
    if (this.capturing) this.capturing.calls.push(call);
    else this.backend.append(call);
  }

  /**
   * Runs `body` with its calls captured, not executed. Buffers that `body` makes and that die with
   * their scope become the plan's; those still alive afterwards are the caller's to keep and free.
   */
  capture<T>(body: () => T): { result: T; capture: Capture } {
    if (this.capturing) throw new Error('capture: a capture is already running on this device');
    const capture: Capture = { calls: [], made: new Set() };
    this.capturing = capture;
    try {
      return { result: body(), capture };
    } finally {
      this.capturing = undefined;
    }
  }
}
