// Runs steps: lays the new tokens of several sequences end to end, prepares pages and the step
// block, runs the model, and reads the wanted logits. Steps in which every sequence adds one token
// are replayed from plans; `draw` runs those whose tokens the device chooses itself.

import type { Decoder } from '../nn/index.js';
import { PAGE_TOKENS, scope } from '../tensor/index.js';
import type { Device } from '../tensor/index.js';
import type { KvFormat } from './kv-format.js';
import { KvPages } from './pages.js';
import { Plans } from './plans.js';
import { DeviceDraws, HostDraws, SamplingBlock } from './sampling.js';
import type { DrawRequest, Draws } from './sampling.js';
import { Sequence } from './sequence.js';
import { StepBlock } from './step.js';
import type { StepContents } from './step.js';

/** Which logits a step should return for a sequence: of its last new token, of all, or none. */
export type WantedLogits = 'last' | 'all' | 'none';

export interface StepRequest { readonly sequence: Sequence; readonly tokens: readonly number[]; readonly logits?: WantedLogits }

/** Of a prompt, in one step, where the backend asks for no other number: fewer where other sequences may wait for their next token. */
const PROMPT_CHUNK = { alone: 512, shared: 256 };

export class Runner {
  readonly kv: KvPages;
  private readonly sequences = new Set<Sequence>();
  /** Steps that end in logits, and steps that end in the next token. */
  readonly plans: Plans<StepBlock>;
  readonly samplingPlans: Plans<SamplingBlock>;
  private tail: Promise<void> = Promise.resolve();
  private disposed = false;
  /** Counters that tests and `bench` read. */
  readonly counts = { steps: 0, replays: 0, recorded: 0 };

  constructor(readonly device: Device, readonly decoder: Decoder, readonly contextLength: number, private readonly replay = true, kv?: KvFormat) {
    this.kv = new KvPages(device, decoder, kv, contextLength);
    const onRecorded = () => { this.counts.recorded++; };
    this.plans = new Plans(device, this.kv, contextLength, (shape) => new StepBlock(device, this.kv, shape), (block) => decoder(block), onRecorded);
    this.samplingPlans = new Plans(device, this.kv, contextLength, (shape) => new SamplingBlock(device, this.kv, shape), (block) => {
      block.advance(decoder(block));
      return undefined;
    }, onRecorded);
  }

  /** Prompt tokens per step: bounds the memory of activations. */
  get promptChunk(): number {
    return this.device.backend.promptChunk ?? (this.sequences.size > 1 ? PROMPT_CHUNK.shared : PROMPT_CHUNK.alone);
  }

  sequence(): Sequence {
    const sequence = new Sequence(this.kv, (gone) => this.sequences.delete(gone));
    this.sequences.add(sequence);
    return sequence;
  }

  /**
   * Appends tokens to sequences in one pass. Returns, per request, the wanted logits row by row
   * ([rows * vocabulary]; empty for 'none'). Steps run one after another, in the order of the calls.
   */
  step(requests: readonly StepRequest[]): Promise<Float32Array[]> {
    const result = this.tail.then(() => this.stepNow(requests));
    this.tail = result.then(() => undefined, () => undefined);
    return result;
  }

  /**
   * Continues sequences with tokens that are drawn where the logits are. Where the backend can, steps
   * are under way before the tokens of earlier ones were read; other steps of the runner may come in between.
   */
  draw(requests: readonly DrawRequest[]): Draws {
    if (this.disposed) throw new Error('the model was disposed');
    for (const { sequence, token, temperature = 0, seed = 0, limit = 0 } of requests) {
      sequence.check();
      this.checkTokens([token], sequence.length);
      if (!(temperature >= 0 && temperature < Infinity)) throw new RangeError(`temperature must be at least 0, got ${temperature}`);
      if (!Number.isInteger(seed)) throw new RangeError(`seed must be a whole number, got ${seed}`);
      if (!(limit >= 0)) throw new RangeError(`limit must be at least 0, got ${limit}`);
    }
    if (new Set(requests.map((r) => r.sequence)).size !== requests.length) throw new Error('a sequence can appear once in a step');
    const context = {
      kv: this.kv, contextLength: this.contextLength, plans: this.samplingPlans, counts: this.counts, stepsAhead: this.device.backend.stepsAhead ?? 1,
      catchUp: async (sequences: readonly Sequence[]) => { await this.step(sequences.map((sequence) => ({ sequence, tokens: [], logits: 'none' }))); },
      step: (each: readonly StepRequest[]) => this.step(each),
      busy: (work: Promise<unknown>) => {
        const done = work.then(() => undefined, () => undefined);
        this.tail = Promise.all([this.tail, done]).then(() => undefined);
      },
      failed: () => this.forgetPages(),
    };
    return this.drawsOnDevice ? new DeviceDraws(context, requests) : new HostDraws(context, requests);
  }

  /** Whether `draw` keeps the device at work while the host looks at what was drawn. */
  get drawsAhead(): boolean {
    return this.drawsOnDevice && (this.device.backend.stepsAhead ?? 1) > 1;
  }

  /** Whether `draw` leaves logits where they are. */
  get drawsOnDevice(): boolean {
    return this.replay && this.device.backend.stepsAhead !== undefined;
  }

  /** Resolves when no step is running or waiting. */
  async idle(): Promise<void> {
    for (let seen; seen !== this.tail;) await (seen = this.tail);
  }

  private async stepNow(requests: readonly StepRequest[]): Promise<Float32Array[]> {
    if (this.disposed) throw new Error('the model was disposed');
    for (const { sequence, tokens } of requests) {
      sequence.check();
      this.checkTokens(tokens, sequence.length);
      if (tokens.length + sequence.length === sequence.cached) throw new RangeError('a step needs at least one new token per sequence');
    }
    if (new Set(requests.map((r) => r.sequence)).size !== requests.length) throw new Error('a sequence can appear once in a step');
    const lengths = requests.map(({ sequence }) => sequence.length);
    try {
      for (const { sequence, tokens } of requests) sequence.tokens.push(...tokens);
      return await this.run(requests);
    } catch (error) {
      requests.forEach(({ sequence }, i) => { sequence.tokens.length = lengths[i]; });
      this.forgetPages();
      throw error;
    }
  }

  /**
   * A step that failed may have spoilt what any page holds (a store that could not grow, a thread that
   * stopped): all are given up, and every sequence is computed again with its next step.
   */
  private forgetPages(): void {
    for (const sequence of this.sequences) sequence.forget();
    this.kv.dispose();
  }

  /** Ids must be of the vocabulary and fit the context. */
  checkTokens(tokens: readonly number[], already = 0): void {
    const { vocab } = this.decoder.frame;
    const bad = tokens.find((id) => !Number.isInteger(id) || id < 0 || id >= vocab);
    if (bad !== undefined) throw new RangeError(`token id ${bad} is not in the vocabulary (0 to ${vocab - 1})`);
    if (already + tokens.length > this.contextLength) throw new RangeError(`${already + tokens.length} tokens are more than the context of ${this.contextLength}`);
  }

  dispose(): void {
    this.disposed = true;
    for (const sequence of [...this.sequences]) sequence.dispose();
    this.plans.dispose();
    this.samplingPlans.dispose();
    this.kv.dispose();
  }

  private async run(requests: readonly StepRequest[]): Promise<Float32Array[]> {
    this.counts.steps++;
    for (const { sequence } of requests) {
      this.kv.groups.forEach((group, i) => group.extend(sequence.lists[i], sequence.cached, sequence.length));
    }
    const contents = layOut(requests, this.kv);
    const single = requests.every(({ sequence, logits = 'last' }) => sequence.length - sequence.cached === 1 && logits === 'last');
    const logits = this.replay && single ? await this.replayed(contents) : await this.once(contents, requests.length);
    for (const { sequence } of requests) {
      sequence.cached = sequence.length;
      this.kv.groups.forEach((group, i) => group.forget(sequence.lists[i], sequence.length));
    }
    return split(logits, requests, this.decoder.frame.vocab);
  }

  private async once(contents: StepContents, sequences: number): Promise<Float32Array> {
    if (contents.rows.length === 0) {
      // Only the cache is wanted: one row is computed, none is read.
      await this.compute({ ...contents, rows: [0] }, sequences);
      return new Float32Array(0);
    }
    return this.compute(contents, sequences);
  }

  private async compute(contents: StepContents, sequences: number): Promise<Float32Array> {
    const block = new StepBlock(this.device, this.kv, { tokens: contents.tokens.length, sequences, rows: contents.rows.length, pages: this.pagesPerSequence });
    try {
      block.write(contents);
      const logits = scope(() => this.decoder(block)).retain();
      try {
        return await logits.toFloat32();
      } finally {
        logits.release();
      }
    } finally {
      block.dispose();
    }
  }

  private async replayed(contents: StepContents): Promise<Float32Array> {
    const { block, plan, result } = this.plans.for(contents.tokens.length);
    block.write(contents);
    plan.replay();
    this.counts.replays++;
    return result!.toFloat32();
  }

  private get pagesPerSequence(): number {
    return Math.ceil(this.contextLength / PAGE_TOKENS);
  }
}

/** The step's int32 contents: all tokens that the caches do not hold yet, sequence after sequence. */
function layOut(requests: readonly StepRequest[], kv: KvPages): StepContents {
  const [tokens, positions, slots, rows]: number[][] = [[], [], [], []];
  requests.forEach(({ sequence, tokens: added, logits = 'last' }, slot) => {
    for (let p = sequence.cached; p < sequence.length; p++) {
      const isNew = p >= sequence.length - added.length;
      if ((logits === 'all' && isNew) || (logits === 'last' && p === sequence.length - 1)) rows.push(tokens.length);
      tokens.push(sequence.tokens[p]);
      positions.push(p);
      slots.push(slot);
    }
  });
  return { tokens, positions, slots, rows, pages: kv.groups.map((_, g) => requests.map(({ sequence }) => sequence.lists[g])) };
}

/** Cuts the step's logits into one array per request. */
function split(logits: Float32Array, requests: readonly StepRequest[], vocab: number): Float32Array[] {
  let row = 0;
  return requests.map(({ tokens, logits: wanted = 'last' }) => {
    const count = wanted === 'none' ? 0 : wanted === 'last' ? 1 : tokens.length;
    row += count;
    return logits.subarray((row - count) * vocab, row * vocab);
  });
}
