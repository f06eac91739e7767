// Threads as the library asks for them, as interfaces. Not an implementation: `node-threads.ts`
// and `browser-threads.ts` are.

export interface Thread {
  /** Messages arrive in order; they are cloned as postMessage does (shared memory stays shared). */
  post(message: unknown): void;
  /** While busy, a thread keeps the process alive. */
  busy(on: boolean): void;
  end(): void;
}

export interface Threads {
  /** How many can run at once. */
  readonly available: number;
  /** Whether memory can be shared with them. */
  readonly sharedMemory: boolean;
  /**
   * Starts a thread from the text of a script, in which `onMessage(receive)` and `reply(message)`
   * are defined. `onFailure` hears of a script that threw or a thread that died.
   */
  start(source: string, onMessage: (message: unknown) => void, onFailure: (error: Error) => void): Thread;
  /**
   * Lets the engine fuse pairs of 128-bit operations of the WebAssembly that it optimises from now on, and (`true`)
   * optimise it at first sight. Experimental, for all of the process; undefined where there is no such thing.
   */
  readonly revectorize?: (on: boolean) => void;
  /** The bytes of a file that ships with the library; undefined where it is missing. */
  readModule(url: URL): Promise<Uint8Array | undefined>;
}
