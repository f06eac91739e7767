// The seam between what is computed and where: a backend owns buffers and runs plain-data calls.
//
// Promises about order and time: `append`, `write` and `free` form one ordered stream; a backend
// may start work whenever it likes, but what a call sees is what was written and appended before
// it. `read` is the only asynchronous verb that waits for results. A call that fails poisons its
// outputs: every later read of them (or of what was computed from them) rejects with the op, the
// part path and the backend. Buffers are backed lazily: memory may appear at first use.

import type { Spec } from './dtype.js';

export type BufferId = number;

/** One tensor as a call sees it. The buffer holds exactly `byteLength(spec)` bytes or more. */
export interface Operand {
  readonly buffer: BufferId;
  readonly spec: Spec;
}

/** Constants of a call: numbers, strings, booleans, arrays of them. Nothing that varies by step. */
export type Attrs = Readonly<Record<string, unknown>>;

export interface Call {
  readonly op: string;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attrs: Attrs;
  /** Which part of the model asked for it, for error messages: `layers.3.mlp.gate_proj`. */
  readonly path: string;
}

/** A recorded list of calls. All that varies between replays lives in buffers (the step block). */
export interface Plan {
  replay(): void;
  dispose(): void;
}

/** A matrix, or a stack of them, whose contents lie elsewhere (on a disk) and are fetched when calls need them. */
export interface StreamedBuffer {
  /** For error messages. */
  readonly name: string;
  /** Two axes: one part. Three: a part for each entry of the first, with scales of its own. */
  readonly spec: Spec;
  /** Buffers that are used one right after the other (a layer's) share a group, and are fetched together. */
  readonly group: string;
  /** Fills `target` with the bytes of one part. Calls overlap in time. */
  read(part: number, target: Uint8Array): Promise<void>;
}

/** What fetching amounted to since the beginning: parts found, fetched while waited for, fetched ahead. */
export interface StreamCounts { readonly hits: number; readonly misses: number; readonly ahead: number; readonly bytesRead: number }

/** Most bytes that a backend on 32-bit WebAssembly holds: 4 GiB less a page, so that every end of a range is a 32-bit number. */
export const WASM_CAPACITY = 2 ** 32 - 65536;
/** With 64-bit addresses: 16 GiB, where the JavaScript interface of WebAssembly ends (262,144 pages). */
export const MEMORY64_CAPACITY = 2 ** 34;

export interface Backend {
  readonly name: string;
  /** Most bytes that it can hold; undefined: no limit of its own. */
  readonly capacity?: number;
  /** Tokens of a prompt that a step should take at a time, where the backend needs more than usual to be busy. */
  readonly promptChunk?: number;
  /** Whether it computes neighbouring calls faster as one (see `fuse`): a layer's calls are then held back until all are known. */
  readonly fusesCalls?: boolean;
  /**
   * Whether products of float32 matrices that are appended or recorded from now on may round their operands
   * to f16, each matrix under a scale of its own, with float32 sums. Absent where that makes nothing faster.
   */
  roundsFloats?: boolean;
  /** How many threads compute, where the backend has some. */
  readonly threads?: number;
  /**
   * Where plans may draw tokens themselves (the op `sample`): how many steps to submit before the first
   * one's tokens are read; more than 1 where work goes on while the caller does other things.
   */
  readonly stepsAhead?: number;
  /** Whether `op` has a kernel here; false makes the caller use `compose`, or fail by name. */
  supports(op: string, inputs: readonly Spec[], attrs: Attrs): boolean;
  /**
   * Announces, before any buffer has contents, how many bytes weights will take, and how many cache and
   * activations will want `later`; rejects with figures if they cannot fit.
   */
  reserve(bytes: number, later?: number): Promise<void>;
  alloc(bytes: number): BufferId;
  /**
   * Buffers that matrix products may read and nobody writes, with about `cacheBytes` of memory for
   * parts of them. Once per backend. Absent where nothing can be streamed.
   */
  allocStreamed?(buffers: readonly StreamedBuffer[], cacheBytes: number): BufferId[];
  /** Undefined before `allocStreamed`. */
  readonly streamCounts?: StreamCounts;
  free(buffer: BufferId): void;
  write(buffer: BufferId, offset: number, bytes: Uint8Array): void;
  /** Resolves when what was written so far has arrived and takes no other memory. Absent where that is always so. */
  drain?(): Promise<void>;
  /**
   * As `write`, of bytes that `put` brings: it gets `length` bytes of memory, which threads may share.
   * Nobody may ask anything of the buffer, or free it, until that is done. Absent where memory is out of reach.
   */
  fill?(buffer: BufferId, offset: number, length: number, put: (memory: Uint8Array) => Promise<void>): Promise<void>;
  append(call: Call): void;
  flush(): void;
  read(buffer: BufferId, offset: number, byteCount: number): Promise<Uint8Array>;
  /**
   * Makes a plan of calls that were captured and not run. Buffers that calls write and that are
   * not in `keep` are temporaries: the plan owns them from now on, and the caller must not free,
   * read or write them. Everything else (weights, caches, step block) stays the caller's.
   */
  record(calls: readonly Call[], keep: readonly BufferId[]): Plan;
  dispose(): void;
}
