// The meta backend: shapes only. It runs a model's definition on tensors without memory and
// remembers every call, so that costs, parameters and diagrams come from what would execute.

import type { Attrs, Backend, BufferId, Call, Plan, Spec } from '../../tensor/index.js';

export class MetaBackend implements Backend {
  readonly name = 'meta';
  readonly calls: Call[] = [];
  private nextId = 1;

  supports(_op: string, _inputs: readonly Spec[], _attrs: Attrs): boolean {
    return true;
  }

  async reserve(_bytes: number): Promise<void> {}
  alloc(_bytes: number): BufferId { return this.nextId++; }
  free(_buffer: BufferId): void {}
  write(_buffer: BufferId, _offset: number, _bytes: Uint8Array): void {}
  append(call: Call): void { this.calls.push(call); }
  flush(): void {}

  read(): Promise<Uint8Array> {
    return Promise.reject(new Error('the meta backend has shapes only: nothing can be read from it'));
  }

  record(): Plan {
    throw new Error('the meta backend has shapes only: nothing can be replayed on it');
  }

  dispose(): void {
    this.calls.length = 0;
  }
}
