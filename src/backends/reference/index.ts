// The reference backend: every op's own plain loops, run at once. Slow, exact, the oracle.

import { byteLength, checkBytes, getOp, View } from '../../tensor/index.js';
import type { Attrs, Backend, BufferId, Call, Operand, Plan, Spec } from '../../tensor/index.js';

interface Slot { bytes: number; memory?: Uint8Array; poison?: Error }

export class ReferenceBackend implements Backend {
  readonly name: string = 'reference';
  readonly stepsAhead = 1;
  private readonly slots = new Map<BufferId, Slot>();
  private nextId = 1;

  /** Every op that is defined runs here, but for the fused ones only in plans. */
  supports(_op: string, _inputs: readonly Spec[], _attrs: Attrs): boolean {
    return true;
  }

  async reserve(_bytes: number): Promise<void> {}

  alloc(bytes: number): BufferId {
    const id = this.nextId++;
    this.slots.set(id, { bytes });
    return id;
  }

  free(buffer: BufferId): void {
    this.slot(buffer);
    this.slots.delete(buffer);
  }

  write(buffer: BufferId, offset: number, bytes: Uint8Array): void {
    const memory = this.memory(buffer);
    if (offset + bytes.byteLength > memory.byteLength) throw new RangeError(`write of ${bytes.byteLength} bytes at ${offset} exceeds a buffer of ${memory.byteLength}`);
    memory.set(bytes, offset);
    this.slot(buffer).poison = undefined;
  }

  append(call: Call): void {
    const poison = call.inputs.map((i) => this.slot(i.buffer).poison).find((p) => p) ?? this.run(call);
    for (const output of call.outputs) this.slot(output.buffer).poison = poison;
    if (poison && getOp(call.op).effect) for (const input of call.inputs) this.slot(input.buffer).poison ??= poison;
  }

  flush(): void {}

  async read(buffer: BufferId, offset: number, byteCount: number): Promise<Uint8Array> {
    const { poison } = this.slot(buffer);
    if (poison) throw poison;
    return this.memory(buffer).slice(offset, offset + byteCount);
  }

  record(calls: readonly Call[], keep: readonly BufferId[]): Plan {
    const kept = new Set(keep);
    const temporaries = new Set(calls.flatMap((c) => c.outputs.map((o) => o.buffer)).filter((id) => !kept.has(id)));
    let disposed = false;
    return {
      replay: () => {
        if (disposed) throw new Error('replay: the plan was disposed');
        for (const call of calls) this.append(call);
      },
      dispose: () => {
        if (disposed) return;
        disposed = true;
        for (const id of temporaries) this.free(id);
      },
    };
  }

  dispose(): void {
    this.slots.clear();
  }

  private run(call: Call): Error | undefined {
    try {
      getOp(call.op).reference(call.inputs.map((i) => this.view(i)), call.outputs.map((o) => this.view(o)), call.attrs);
      return undefined;
    } catch (error) {
      const where = call.path ? ` at ${call.path}` : '';
      return new Error(`${call.op}${where} failed on ${this.name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  }

  private view({ buffer, spec }: Operand): View {
    const memory = this.memory(buffer);
    checkBytes(spec, memory.byteLength);
    return new View(spec, memory.subarray(0, byteLength(spec)));
  }

  private memory(buffer: BufferId): Uint8Array {
    const slot = this.slot(buffer);
    slot.memory ??= new Uint8Array(slot.bytes);
    return slot.memory;
  }

  private slot(buffer: BufferId): Slot {
    const slot = this.slots.get(buffer);
    if (!slot) throw new Error(`buffer ${buffer} does not exist or was freed`);
    return slot;
  }
}

export function createBackend(): Backend {
  return new ReferenceBackend();
}
