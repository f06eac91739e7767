// The process's worker threads, shared by all models on this backend, and how a list of records is
// run: on the pool, or on the calling thread where there are no threads to be had.
//
// The main thread posts one message per worker and run, and hears back when each is done: it never
// waits. All messages come from one thread, so that every worker sees the runs of several models
// in the same order, and none waits at a barrier for one that is busy with another model for good.

import { platform } from '../../platform/index.js';
import type { Thread, Threads } from '../../platform/index.js';
import { MOST_THREADS } from './abi.js';
import { WORKER_SOURCE } from './worker-source.js';

/** The arguments of the kernels' `run`, but for what differs by thread. */
export interface RunArguments {
  readonly records: number;
  readonly count: number;
  readonly control: number;
  /** A thread's working memory, how far apart two threads' are, and where in it its own buffers begin. */
  readonly scratch: number;
  readonly stride: number;
  readonly arena: number;
}

/** A thread that trapped, and on what. */
export interface Trap { readonly thread: number; readonly message: string }

export interface Executor {
  readonly threads: number;
  /** Runs records to the end on every thread; rejects only when a thread is lost. */
  run(args: RunArguments): Promise<Trap | undefined>;
  dispose(): void;
}

type RunExport = (records: number, count: number, control: number, id: number, threads: number, scratch: number, arena: number) => number;

function argumentsOf({ records, count, control, scratch, stride, arena }: RunArguments, id: number, threads: number): Parameters<RunExport> {
  const base = scratch + id * stride;
  return [records, count, control, id, threads, base, base + arena];
}

/** Runs on the calling thread, which is busy meanwhile. */
export class InlineExecutor implements Executor {
  readonly threads = 1;
  constructor(private readonly instance: WebAssembly.Instance) {}

  async run(args: RunArguments): Promise<Trap | undefined> {
    try {
      (this.instance.exports.run as RunExport)(...argumentsOf(args, 0, 1));
      return undefined;
    } catch (error) {
      return { thread: 0, message: error instanceof Error ? error.message : String(error) };
    }
  }

  dispose(): void {}
}

interface Job { missing: number; trap?: Trap; resolve(trap: Trap | undefined): void; reject(error: Error): void }
interface Reply { readonly job: number; readonly trap?: string }

class Pool {
  private readonly workers: Thread[] = [];
  private readonly jobs = new Map<number, Job>();
  private lost: Error | undefined;
  private nextId = 1;
  private members = 0;

  constructor(private readonly threads: Threads) {}

  /** Makes a memory known to the first `count` workers, starting those that are missing. */
  attach(count: number, module: WebAssembly.Module, memory: WebAssembly.Memory): number {
    while (this.workers.length < count) this.workers.push(this.startWorker(this.workers.length));
    const memoryId = this.nextId++;
    for (const worker of this.workers.slice(0, count)) worker.post({ kind: 'attach', memoryId, module, memory });
    this.members++;
    return memoryId;
  }

  /** The last member's leaving ends the workers. */
  detach(memoryId: number): void {
    for (const worker of this.workers) worker.post({ kind: 'detach', memoryId });
    if (--this.members === 0) this.end(new Error('the backend was disposed while it was working'));
  }

  run(memoryId: number, count: number, args: RunArguments): Promise<Trap | undefined> {
    if (this.lost) return Promise.reject(this.lost);
    return new Promise((resolve, reject) => {
      const job = this.nextId++;
      if (this.jobs.size === 0) for (const worker of this.workers) worker.busy(true);
      this.jobs.set(job, { missing: count, resolve, reject });
      for (let id = 0; id < count; id++) this.workers[id].post({ kind: 'run', memoryId, job, control: args.control, args: argumentsOf(args, id, count) });
    });
  }

  private startWorker(thread: number): Thread {
    return this.threads.start(WORKER_SOURCE, (message) => this.heard(thread, message as Reply), (error) => {
      this.end(new Error(`its worker threads are gone (${error.message}): load the model again`, { cause: error }));
    });
  }

  private heard(thread: number, { job: id, trap }: Reply): void {
    const job = this.jobs.get(id);
    if (!job) return;
    if (trap !== undefined) job.trap ??= { thread, message: trap };
    if (--job.missing > 0) return;
    this.jobs.delete(id);
    if (this.jobs.size === 0) for (const worker of this.workers) worker.busy(false);
    job.resolve(job.trap);
  }

  /** Ends all workers; what was running rejects. The next backend starts a new pool. */
  private end(reason: Error): void {
    this.lost = reason;
    if (pool === this) pool = undefined;
    for (const worker of this.workers) worker.end();
    for (const job of this.jobs.values()) job.reject(reason);
    this.jobs.clear();
  }
}

let pool: Pool | undefined;

class PoolExecutor implements Executor {
  private readonly memoryId: number;
  constructor(private readonly workers: Pool, readonly threads: number, module: WebAssembly.Module, memory: WebAssembly.Memory) {
    this.memoryId = workers.attach(threads, module, memory);
  }

  run(args: RunArguments): Promise<Trap | undefined> {
    return this.workers.run(this.memoryId, this.threads, args);
  }

  dispose(): void {
    this.workers.detach(this.memoryId);
  }
}

export async function poolExecutor(threads: number, module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<Executor> {
  const { threads: platformThreads } = await platform();
  pool ??= new Pool(platformThreads);
  return new PoolExecutor(pool, threads, module, memory);
}

/** How many threads to use: what the caller asks, else one per core, eight at most. */
export function threadCount(wanted: number | undefined, available: number): number {
  if (wanted === undefined) return Math.max(1, Math.min(available, 8));
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > MOST_THREADS) throw new RangeError(`threads must be a whole number from 1 to ${MOST_THREADS}, got ${wanted}`);
  return wanted;
}
