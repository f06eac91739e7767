// How fast a model runs here: prompt tokens per second, decoded tokens per second, sequences
// decoded together. Measured around the engine's own steps, greedy, without text.

import type { Runner, Sequence } from '../engine/index.js';
import { largest } from './sampler.js';

export interface BenchmarkOptions {
  /** Prompt tokens. */
  readonly prompt?: number;
  /** Tokens decoded after it, per sequence; one more is decoded before them, which records the plan. */
  readonly generate?: number;
  /** Sequences decoded together. */
  readonly sequences?: number;
  readonly signal?: AbortSignal;
}

export interface BenchmarkResult {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly sequences: number;
  /** Prompt tokens per second, of one sequence. */
  readonly prefill: number;
  /** Tokens per second over all sequences together. */
  readonly decode: number;
}

/** A longer wait than this for a key press is felt. */
const PAUSE_MS = 250;

/**
 * Adds up the time that steps take, choosing the next token included. In between it lets timers and
 * signals through, uncounted: a backend that computes on this thread never waits for anything.
 */
class Clock {
  private milliseconds = 0;
  private paused = performance.now();

  constructor(private readonly signal?: AbortSignal) {}

  async time<T>(step: () => Promise<T>): Promise<T> {
    this.signal?.throwIfAborted();
    const start = performance.now();
    const result = await step();
    const end = performance.now();
    this.milliseconds += end - start;
    if (end - this.paused > PAUSE_MS) {
      await new Promise((resolve) => { setTimeout(resolve, 0); });
      this.paused = performance.now();
    }
    return result;
  }

  perSecond(count: number): number {
    return (count / this.milliseconds) * 1000;
  }
}

interface Running { readonly sequence: Sequence; next: number }

/** Runs a prefill and a decode, once. The first run of a process is slower: compilers are at work. */
export async function benchmark(runner: Runner, { prompt = 512, generate = 64, sequences = 1, signal }: BenchmarkOptions = {}): Promise<BenchmarkResult> {
  if (prompt + generate + 1 > runner.contextLength) throw new RangeError(`${prompt} + ${generate} + 1 tokens are more than the context of ${runner.contextLength}`);
  const { vocab } = runner.decoder.frame;
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7919 + 11) % vocab);
  const running: Running[] = [];
  const prefillClock = new Clock(signal);
  const decodeClock = new Clock(signal);
  try {
    while (running.length < sequences) {
      const each = { sequence: runner.sequence(), next: 0 };
      running.push(each);
      await prefill(runner, each, ids, running.length === 1 ? prefillClock : new Clock(signal));
    }
    await decode(runner, running, 1, new Clock(signal));
    await decode(runner, running, generate, decodeClock);
  } finally {
    for (const { sequence } of running) sequence.dispose();
  }
  return { promptTokens: prompt, generatedTokens: generate, sequences, prefill: prefillClock.perSecond(prompt), decode: decodeClock.perSecond(generate * sequences) };
}

async function prefill(runner: Runner, each: Running, ids: readonly number[], clock: Clock): Promise<void> {
  const { sequence } = each;
  for (let at = 0; at < ids.length;) {
    const tokens = ids.slice(at, at + runner.promptChunk);
    at += tokens.length;
    const isLast = at === ids.length;
    await clock.time(async () => {
      const [logits] = await runner.step([{ sequence, tokens, logits: isLast ? 'last' : 'none' }]);
      if (isLast) each.next = largest(logits);
    });
  }
}

/** Draws `count` tokens for every sequence, from nothing under way to nothing under way. */
async function decode(runner: Runner, running: readonly Running[], count: number, clock: Clock): Promise<void> {
  const draws = runner.draw(running.map(({ sequence, next }) => ({ sequence, token: next, limit: count })));
  for (let tokens; (tokens = await clock.time(() => draws.next())) !== undefined;) {
    for (const [i, token] of tokens.entries()) running[i].next = token;
  }
}
