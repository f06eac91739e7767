// The one ordered stream of a backend: jobs run one after another, and what waits for a job is
// settled in the moment between it and the next, so that a read sees what was there and no more.

import { CONTROL_ABORT, CONTROL_ARRIVED, CONTROL_BYTES, CONTROL_FAILED, CONTROL_PROGRESS, CONTROL_REVECTORIZED, CONTROL_SLEEPERS, Failure, RECORD_BYTES, WORD_FAILURE } from './abi.js';
import type { Heap } from './heap.js';
import { reasonOf } from './poison.js';
import type { Executor } from './pool.js';
import type { Fences } from './streaming.js';

/** A record that failed: its index in the job, and why. */
export interface RecordFailure { readonly index: number; readonly reason: string }

export interface Outcome {
  readonly failures: readonly RecordFailure[];
  /** The run ended early, at a record if that is known: nothing that the job writes can be trusted. */
  readonly broken?: { readonly index?: number; readonly reason: string };
}

export interface Job {
  /** Address and number of records; 0 records: nothing to run, only to settle. */
  readonly records: number;
  readonly count: number;
  /** Where it must wait for matrices that are not in memory. */
  readonly fences?: Fences;
  /** Runs right after the job, before any later one. */
  done(outcome: Outcome): void;
}

/** Every thread's working memory, end to end: `scratch` bytes, then `arena` bytes for buffers of its own. */
interface Region { readonly address: number; readonly bytes: number; readonly scratch: number; readonly arena: number }

export class Stream {
  private readonly queue: Job[] = [];
  private running = false;
  private disposed = false;
  private readonly control: number;
  private region: Region = { address: 0, bytes: 0, scratch: 0, arena: 0 };

  constructor(private readonly heap: Heap, private readonly executor: Executor, private readonly onIdle: () => void, revectorized = false) {
    this.control = heap.take(CONTROL_BYTES, 'now');
    heap.words.fill(0, this.control / 4, (this.control + CONTROL_BYTES) / 4);
    heap.words[this.control / 4 + CONTROL_REVECTORIZED] = Number(revectorized);
    this.need(1024, 0);
  }

  get idle(): boolean { return !this.running && this.queue.length === 0; }
  get threads(): number { return this.executor.threads; }

  /** Makes sure that every thread has this much working memory, and this much for buffers of its own. */
  need(scratch: number, arena: number): void {
    if (scratch <= this.region.scratch && arena <= this.region.arena) return;
    const wanted = { scratch: Math.max(align(scratch), this.region.scratch), arena: Math.max(align(arena), this.region.arena) };
    const bytes = (wanted.scratch + wanted.arena) * this.threads;
    const address = this.heap.take(bytes, 'now');
    if (this.region.bytes > 0) this.heap.give(this.region.address, this.region.bytes);
    this.region = { address, bytes, ...wanted };
  }

  push(job: Job): void {
    this.queue.push(job);
    if (!this.running) void this.drain();
  }

  dispose(): void {
    this.disposed = true;
    this.executor.dispose();
  }

  private async drain(): Promise<void> {
    this.running = true;
    for (let job = this.queue.shift(); job; job = this.queue.shift()) job.done(await this.runOne(job));
    this.running = false;
    this.onIdle();
  }

  private async runOne({ records, count, fences }: Job): Promise<Outcome> {
    if (this.disposed) return broken('the backend was disposed');
    if (count === 0) return { failures: [] };
    // Threads' own buffers stay where they are to the end of the job.
    const { region } = this;
    if (!fences) return this.runPart(region, records, 0, count);
    try {
      return await this.runFenced(region, records, count, fences);
    } finally {
      fences.leave();
    }
  }

  /** From fence to fence; a record that needs more than fits runs several times. */
  private async runFenced(region: Region, records: number, count: number, fences: Fences): Promise<Outcome> {
    const failures: RecordFailure[] = [];
    const part = async (from: number, to: number): Promise<Outcome | undefined> => {
      if (to === from) return undefined;
      const outcome = await this.runPart(region, records, from, to);
      failures.push(...outcome.failures);
      return outcome.broken && outcome;
    };
    const extra = async (address: number, n: number): Promise<void> => {
      const outcome = await this.runPart(region, address, 0, n);
      if (outcome.broken) throw new Error(outcome.broken.reason);
    };
    for (let from = 0; from < count;) {
      const at = fences.next(from) ?? count;
      const stopped = await part(from, at);
      if (stopped) return stopped;
      from = at;
      if (at === count) break;
      try {
        if (!(await fences.enter(at, extra))) continue;
      } catch (error) {
        return { failures: [], broken: { index: at, reason: reasonOf(error) } };
      }
      const lost = await part(at, at + 1);
      if (lost) return lost;
    }
    return { failures };
  }

  private async runPart({ address: scratch, scratch: arena, arena: own }: Region, list: number, from: number, to: number): Promise<Outcome> {
    if (this.disposed) return broken('the backend was disposed');
    const [records, count] = [list + from * RECORD_BYTES, to - from];
    try {
      const trap = await this.executor.run({ records, count, control: this.control, scratch, stride: arena + own, arena });
      if (this.disposed) return broken('the backend was disposed');
      if (!trap) return { failures: this.failures(records, count).map(({ index, reason }) => ({ index: from + index, reason })) };
      const index = from + this.heap.words[this.word(CONTROL_PROGRESS + trap.thread)];
      // A plan's records run again: what failed beside the trap must not be reported then.
      this.failures(records, count);
      for (const word of [CONTROL_ARRIVED, CONTROL_SLEEPERS, CONTROL_ABORT, CONTROL_FAILED]) this.heap.words[this.word(word)] = 0;
      return { failures: [], broken: { index, reason: `a thread stopped: ${trap.message}` } };
    } catch (error) {
      return broken(reasonOf(error));
    }
  }

  private failures(records: number, count: number): RecordFailure[] {
    const { words } = this.heap;
    if (words[this.word(CONTROL_FAILED)] === 0) return [];
    words[this.word(CONTROL_FAILED)] = 0;
    const found: RecordFailure[] = [];
    for (let index = 0; index < count; index++) {
      const at = (records + index * RECORD_BYTES) / 4 + WORD_FAILURE;
      if (words[at] === Failure.none) continue;
      found.push({ index, reason: describe(words[at], words[at + 1], words[at + 2]) });
      words[at] = Failure.none;
    }
    return found;
  }

  private word(index: number): number { return this.control / 4 + index; }
}

const broken = (reason: string): Outcome => ({ failures: [], broken: { reason } });
const align = (bytes: number): number => Math.ceil(bytes / 64) * 64;

function describe(failure: Failure, number: number, limit: number): string {
  switch (failure) {
    case Failure.index: return `index ${number} of ${limit}`;
    case Failure.expert: return `expert ${number} of ${limit}`;
    case Failure.slot: return `slot ${number} of ${limit} sequences`;
    case Failure.page: return `no page for position ${number}`;
    default: return `failure ${failure} (${number}, ${limit})`;
  }
}
