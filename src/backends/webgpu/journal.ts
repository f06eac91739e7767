// Which results are good. The driver reports errors late and for a whole submission at once, and
// kernels report faults in words that are read with a result; so every call is written down, and
// when a result is read the entries up to it are judged in order: a call that failed, or that read
// what a failed one wrote, poisons what it writes. In the common case nothing is walked.

import { getOp } from '../../tensor/index.js';
import type { Call } from '../../tensor/index.js';
import type { Memory } from './buffers.js';
import type { Pipeline, Watch } from './gpu.js';
import { kernelOf } from './kernels/index.js';

/** What a buffer is worth to its readers. */
export interface Judged { poison?: Error }

export interface Entry {
  readonly call: Call;
  readonly inputs: readonly Judged[];
  readonly outputs: readonly Judged[];
  /** The word through which the kernel reports a fault; undefined where it cannot. */
  readonly fault?: number;
  /** What the reported number means, where the call's own kernel did not report it. */
  readonly explain?: (value: number) => string;
  pipelines?: readonly Pipeline[];
  memories?: readonly Memory[];
  /** It never reached the GPU, for this reason. */
  failure?: Error;
}

/** A host write makes a buffer good again. */
export interface Written { readonly written: Judged }

export type Item = Entry | Written | readonly Entry[];

/** What was submitted together, and whether the driver took it. */
export interface Batch { readonly items: readonly Item[]; readonly outcome: Promise<Error | undefined> }

export class Journal {
  private poisoned = false;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly backend: string, private readonly watch: Watch) {}

  /**
   * Judges batches after all earlier ones and before all later ones, then asks `verdict`.
   * `faults` are the fault words as the batches left them.
   */
  settle<T>(batches: readonly Batch[], faults: Uint32Array, verdict: () => T): Promise<T> {
    const before = this.turn;
    const mine = (async () => {
      await before;
      const raised = faults.some((word) => word !== 0);
      for (const { items, outcome } of batches) {
        const broken = await outcome;
        await this.watch.settled();
        if (broken || raised || this.poisoned || this.watch.troubled) this.judge(items.flat(), broken, faults);
      }
      return verdict();
    })();
    this.turn = mine;
    return mine;
  }

  private judge(entries: readonly (Entry | Written)[], broken: Error | undefined, faults: Uint32Array): void {
    this.poisoned = true;
    const lost = broken && this.blame(entries, broken);
    for (const entry of entries) {
      if ('written' in entry) { entry.written.poison = undefined; continue; }
      const poison = entry.inputs.find((i) => i.poison)?.poison ?? this.failureOf(entry, faults) ?? lost;
      for (const output of entry.outputs) output.poison = poison;
      if (poison && getOp(entry.call.op).effect) for (const input of entry.inputs) input.poison ??= poison;
    }
  }

  private failureOf(entry: Entry, faults: Uint32Array): Error | undefined {
    const word = entry.fault === undefined ? 0 : faults[entry.fault];
    const fault = word ? new Error((entry.explain ?? kernelOf(entry.call.op)?.fault)?.(word - 1)) : undefined;
    const cause = ownFailure(entry) ?? fault;
    return cause && this.describe(entry.call, cause);
  }

  /** Nothing of a refused submission ran: names the call at fault where that is known. */
  private blame(entries: readonly (Entry | Written)[], broken: Error): Error {
    const calls = entries.filter((e): e is Entry => 'call' in e);
    const guilty = calls.find(ownFailure);
    if (guilty) return this.describe(guilty.call, ownFailure(guilty)!);
    return calls.length > 0 ? this.describe(calls[0].call, new Error(`the driver refused it or one of the ${calls.length - 1} calls after it: ${broken.message}`)) : broken;
  }

  private describe(call: Call, cause: Error): Error {
    return new Error(`${call.op}${call.path ? ` at ${call.path}` : ''} failed on ${this.backend}: ${cause.message}`, { cause });
  }
}

function ownFailure({ failure, pipelines, memories }: Entry): Error | undefined {
  return failure ?? pipelines?.find((p) => p.failure)?.failure ?? memories?.find((m) => m.failure)?.failure;
}
