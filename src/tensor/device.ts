// A device is a backend plus what the eager front end must remember about it: live bytes, and
// whether calls are being captured (to become a plan) instead of run.

import type { Backend, BufferId, Call, StreamedBuffer } from './backend.js';
import { byteLength } from './dtype.js';
import { fuse } from './fuse.js';
import { pickEarly } from './pick.js';

/** Calls captured instead of run, with the buffers made meanwhile. */
export interface Capture {
  readonly calls: Call[];
  readonly made: Set<BufferId>;
}

/** Buffers freed while calls that may need them are held back. */
interface Held extends Capture { readonly freed?: Set<BufferId> }

export class Device {
  private bytes = 0;
  private capturing: Held | undefined;

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
    if (this.capturing?.freed) this.capturing.freed.add(buffer);
    // A captured temporary belongs to the plan; it was never backed by memory of its own.
    else if (!this.capturing?.made.has(buffer)) this.backend.free(buffer);
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
    return { result: this.holding(capture, body), capture };
  }

  /**
   * Runs `body` and then its calls, fused where the backend asks for that: neighbours that one kernel
   * computes. With `picks`, rows that are taken of results are then taken of what these are made of. What dies
   * with `body` is freed behind the last call that uses it.
   */
  fused<T>(body: () => T, picks = false): T {
    const { backend } = this;
    if (!backend.fusesCalls || this.capturing) return body();
    const held = { calls: [] as Call[], made: new Set<BufferId>(), freed: new Set<BufferId>() };
    try {
      const result = this.holding(held, body);
      const outlive = [...held.made].filter((buffer) => !held.freed.has(buffer));
      const picked = picks ? pickEarly(held.calls, outlive, (bytes) => this.passing(bytes, held.freed)) : held.calls;
      const calls = fuse(picked, outlive, (c) => backend.supports(c.op, c.inputs.map((i) => i.spec), c.attrs));
      const lastUses = lastUsesOf(calls);
      calls.forEach((call, i) => {
        backend.append(call);
        for (const buffer of lastUses[i]) if (held.freed.delete(buffer)) backend.free(buffer);
      });
      return result;
    } finally {
      for (const buffer of held.freed) backend.free(buffer);
    }
  }

  /** A buffer that is freed with those in `freed`. */
  private passing(bytes: number, freed: Set<BufferId>): BufferId {
    const buffer = this.backend.alloc(bytes);
    freed.add(buffer);
    return buffer;
  }

  private holding<T>(capture: Held, body: () => T): T {
    this.capturing = capture;
    try {
      return body();
    } finally {
      this.capturing = undefined;
    }
  }
}

/** By call: the buffers that none after it uses. */
function lastUsesOf(calls: readonly Call[]): BufferId[][] {
  const last = new Map<BufferId, number>();
  calls.forEach(({ inputs, outputs }, i) => { for (const { buffer } of [...inputs, ...outputs]) last.set(buffer, i); });
  const lists = calls.map((): BufferId[] => []);
  for (const [buffer, i] of last) lists[i].push(buffer);
  return lists;
}
