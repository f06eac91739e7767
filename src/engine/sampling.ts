// Decoding in which the device draws the tokens: every step's tokens are the next step's input
// without passing through the host, so steps are submitted ahead of those whose tokens were read,
// and a token costs a read of four bytes. Where a backend has no kernel for that, `HostDraws` does
// the same with logits that are read back: the same tokens, up to rounding.

import { drawToken, empty, NO_TOKEN, sample } from '../tensor/index.js';
import type { Device, Tensor } from '../tensor/index.js';
import type { KvPages } from './pages.js';
import type { Plans, Recorded } from './plans.js';
import type { Sequence } from './sequence.js';
import { StepBlock } from './step.js';
import type { StepShape } from './step.js';

/** A sequence that is to be continued. */
export interface DrawRequest {
  readonly sequence: Sequence;
  /** Its next token, which the first step feeds. */
  readonly token: number;
  /** 0 (default) is greedy. */
  readonly temperature?: number;
  /** A 32-bit number: the same seed draws the same tokens, whatever runs beside the sequence. */
  readonly seed?: number;
  /** Most tokens to draw; until the context is full when absent. */
  readonly limit?: number;
}

/** Drawing tokens for several sequences at once, a step at a time. */
export interface Draws {
  /**
   * The tokens of the next step, one per request in their order (-1: that one has ended). A sequence
   * holds its tokens up to the one that was fed; the last one drawn is what a later step must feed.
   * Undefined when nothing is left to be drawn.
   */
  next(): Promise<Int32Array | undefined>;
  /** Request `index` wants no more tokens. Its sequence may be disposed of. */
  end(index: number): void;
  /** No more steps are started: `next` hands over those that have been. */
  finish(): void;
}

/** What both ways of drawing need of the runner. */
export interface DrawContext {
  readonly kv: KvPages;
  readonly contextLength: number;
  readonly plans: Plans<SamplingBlock>;
  /** Steps that may have been submitted and not read. */
  readonly stepsAhead: number;
  readonly counts: { steps: number; replays: number };
  /** Computes what a sequence holds and its cache lost. */
  catchUp(sequences: readonly Sequence[]): Promise<void>;
  /** Feeds a token to each sequence and returns their logits. */
  step(requests: readonly { readonly sequence: Sequence; readonly tokens: readonly number[] }[]): Promise<Float32Array[]>;
  /** Tells the runner what it must wait for before it is idle. */
  busy(work: Promise<unknown>): void;
  /** What a failed step may have spoilt is given up. */
  failed(): void;
}

/** A step block that a replayed step makes ready for the next one. */
export class SamplingBlock extends StepBlock {
  readonly temperatures: Tensor;
  readonly seeds: Tensor;
  /** Whose state it holds. */
  owner: DeviceDraws | undefined;

  constructor(device: Device, kv: KvPages, shape: StepShape) {
    // Every token's logits are wanted: no rows are picked.
    super(device, kv, { ...shape, rows: 0 });
    this.temperatures = empty(device, { shape: [shape.tokens], dtype: 'f32' }).retain();
    this.seeds = empty(device, { shape: [shape.tokens], dtype: 'i32' }).retain();
  }

  /** Draws the next tokens from `logits`, and moves on to them. */
  advance(logits: Tensor): void {
    sample(logits, this);
  }

  writeSampling(requests: readonly DrawRequest[]): void {
    const { backend } = this.tokens.device;
    const [temperatures, seeds] = [new Float32Array(this.shape.tokens), new Int32Array(this.shape.tokens)];
    requests.forEach(({ temperature = 0, seed = 0 }, i) => { temperatures[i] = temperature; seeds[i] = seed; });
    backend.write(this.temperatures.storage.id, 0, new Uint8Array(temperatures.buffer));
    backend.write(this.seeds.storage.id, 0, new Uint8Array(seeds.buffer));
  }

  override dispose(): void {
    super.dispose();
    this.temperatures.release();
    this.seeds.release();
  }
}

/** One sequence's part in the work. */
class Drawn {
  readonly sequence: Sequence;
  /** The token that the next step to be read was fed, and how many tokens were drawn before it. */
  token: number;
  delivered = 0;
  submitted = 0;
  ended = false;
  private readonly limit: number;
  private length: number;

  constructor(readonly request: DrawRequest, contextLength: number) {
    this.sequence = request.sequence;
    this.token = request.token;
    this.length = this.sequence.length;
    this.limit = Math.min(request.limit ?? Infinity, contextLength - this.length);
  }

  /** Whether the next step to be submitted should draw for it. */
  get wants(): boolean {
    return !this.ended && this.submitted < this.limit;
  }

  /** Where the next step to be submitted puts its token. */
  get position(): number {
    return this.length + this.submitted - this.delivered;
  }

  /**
   * Takes over what a step drew; returns it, or NO_TOKEN if nobody wants it. `fed`: the sequence has
   * been given the token before it.
   */
  deliver(token: number, fed: boolean): number {
    this.delivered++;
    if (this.ended) return NO_TOKEN;
    if (!fed) this.feed();
    this.length++;
    if (token === NO_TOKEN) throw new Error('the model produced no finite logits; its weights may hold NaN or infinite numbers');
    this.token = token;
    return token;
  }

  private feed(): void {
    this.check();
    // Where another step's failure has cost the sequence its pages, this token is computed again with the rest.
    if (this.sequence.cached === this.length) this.sequence.cached++;
    this.sequence.tokens.push(this.token);
  }

  check(): void {
    this.sequence.check();
    if (this.sequence.length !== this.length) throw new Error('a sequence was changed while tokens were drawn for it');
  }
}

/** A step that was submitted: for which sequences, and its tokens once they are there. */
interface Submitted { readonly takers: readonly boolean[]; readonly tokens: Promise<Int32Array> }

export class DeviceDraws implements Draws {
  private readonly drawn: readonly Drawn[];
  private readonly inFlight: Submitted[] = [];
  private recorded: Recorded<SamplingBlock> | undefined;
  /** Which sequences the device takes part in, as last written. */
  private active: readonly boolean[] = [];
  private finished = false;

  constructor(private readonly context: DrawContext, requests: readonly DrawRequest[]) {
    this.drawn = requests.map((request) => new Drawn(request, context.contextLength));
  }

  async next(): Promise<Int32Array | undefined> {
    try {
      if (this.inFlight.length === 0) await this.recompute();
      this.submitAhead();
      const step = this.inFlight.shift();
      if (!step) return undefined;
      const drawn = await step.tokens;
      const tokens = Int32Array.from(this.drawn, (each, i) => (step.takers[i] ? each.deliver(drawn[i], false) : NO_TOKEN));
      for (const { sequence, ended } of this.drawn) {
        if (!ended) this.context.kv.groups.forEach((group, i) => group.forget(sequence.lists[i], sequence.length));
      }
      // What is still wanted is under way while the caller looks at these tokens.
      if (this.inFlight.length > 0) this.submitAhead();
      return tokens;
    } catch (error) {
      this.finished = true;
      this.inFlight.length = 0;
      this.context.failed();
      throw error;
    }
  }

  end(index: number): void {
    const each = this.drawn[index];
    if (each.ended) return;
    each.ended = true;
    // Pages that were taken for steps ahead; nothing that is submitted later writes before these have run.
    each.sequence.truncate(each.sequence.length);
  }

  finish(): void {
    this.finished = true;
  }

  /** Another step's failure may have cost the caches what they held. */
  private async recompute(): Promise<void> {
    const lost = this.drawn.filter(({ wants, sequence }) => wants && sequence.cached < sequence.length).map(({ sequence }) => sequence);
    if (lost.length > 0) await this.context.catchUp(lost);
  }

  private submitAhead(): void {
    while (!this.finished && this.inFlight.length < this.context.stepsAhead && this.drawn.some(({ wants }) => wants)) {
      if (!this.prepare()) return;
      this.submit();
    }
  }

  /** Makes the block ready; false if that has to wait for the steps under way. */
  private prepare(): boolean {
    const { kv, plans } = this.context;
    let grown = false;
    for (const each of this.drawn) {
      if (!each.wants) continue;
      each.check();
      if (each.sequence.cached < each.sequence.length) return false;
      kv.groups.forEach((group, i) => { grown = group.extend(each.sequence.lists[i], each.position, each.position + 1) || grown; });
    }
    const recorded = plans.for(this.drawn.length);
    const { block } = recorded;
    if (recorded !== this.recorded || block.owner !== this) {
      // The device's state is elsewhere: the host knows it once everything under way was read.
      if (this.inFlight.length > 0) return false;
      block.write(this.contents());
      block.writeSampling(this.drawn.map(({ request }) => request));
      block.owner = this;
      this.recorded = recorded;
      this.active = this.drawn.map(({ wants }) => wants);
    } else {
      if (grown) block.writePages(this.pages());
      if (this.drawn.some(({ wants }, i) => wants !== this.active[i])) {
        block.writeSlots(this.slots());
        this.active = this.drawn.map(({ wants }) => wants);
      }
    }
    return true;
  }

  private submit(): void {
    const { plan, block } = this.recorded!;
    const takers = this.active;
    this.drawn.forEach((each, i) => { if (takers[i]) each.submitted++; });
    plan.replay();
    this.context.counts.steps++;
    this.context.counts.replays++;
    // Copied before the next step changes them: reads and steps are one stream.
    const tokens = block.tokens.toInt32();
    this.context.busy(tokens);
    this.inFlight.push({ takers, tokens });
  }

  private contents() {
    return { tokens: this.drawn.map(({ token }) => token), positions: this.drawn.map(({ position }) => position), slots: this.slots(), rows: [], pages: this.pages() };
  }

  private slots(): number[] {
    return this.drawn.map(({ wants }, i) => (wants ? i : -1));
  }

  private pages() {
    return this.context.kv.groups.map((_, g) => this.drawn.map(({ sequence, ended }) => (ended ? [] : sequence.lists[g])));
  }
}

export class HostDraws implements Draws {
  private readonly drawn: readonly Drawn[];
  private finished = false;

  constructor(private readonly context: DrawContext, requests: readonly DrawRequest[]) {
    this.drawn = requests.map((request) => new Drawn(request, context.contextLength));
  }

  async next(): Promise<Int32Array | undefined> {
    const running = this.drawn.filter(({ wants }) => wants);
    if (this.finished || running.length === 0) return undefined;
    for (const each of running) each.check();
    const positions = running.map(({ position }) => position);
    const logits = await this.context.step(running.map(({ sequence, token }) => ({ sequence, tokens: [token] })));
    const tokens = new Int32Array(this.drawn.length).fill(NO_TOKEN);
    running.forEach((each, i) => {
      const { temperature = 0, seed = 0 } = each.request;
      each.submitted++;
      tokens[this.drawn.indexOf(each)] = each.deliver(drawToken(logits[i], temperature, seed, positions[i]), true);
    });
    return tokens;
  }

  end(index: number): void {
    this.drawn[index].ended = true;
  }

  finish(): void {
    this.finished = true;
  }
}
