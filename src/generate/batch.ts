// Many texts at once: up to `parallel` sequences share every step, each draws its own tokens and ends
// by itself, and the next prompts take the places of those that have ended.

import type { Runner, Sequence } from '../engine/index.js';
import type { FinishReason } from './generate.js';
import { randomSeed } from './sampler.js';

export interface BatchOptions {
  /** At most this many tokens for each prompt; until the context is full when absent. */
  readonly maxTokens?: number;
  /** 0 (default) is greedy. */
  readonly temperature?: number;
  /** Whole number; random when absent. With it every prompt gets the same tokens again, whatever `parallel` is, up to rounding. */
  readonly seed?: number;
  /** Tokens that end a text; the model's own end tokens when absent. */
  readonly stopTokens?: Iterable<number>;
  /** Sequences in one step (default 256): more are faster in all, until memory for keys and values ends. */
  readonly parallel?: number;
  readonly signal?: AbortSignal;
}

/** How one prompt was continued. */
export interface Completion {
  /** Which prompt, from 0. */
  readonly index: number;
  /** The new tokens; the last one is a stop token where that ended it. */
  readonly tokens: readonly number[];
  readonly finishReason: Exclude<FinishReason, 'aborted'>;
}

interface Running { readonly index: number; readonly sequence: Sequence; readonly seed: number; readonly room: number; readonly tokens: number[]; next: number; ended: boolean }

/** Places are filled again once this share of them is free: starting anew costs a moment in which the device waits. */
const FREE_SHARE = 1 / 8;

/** Continues every prompt; completions come as they end. Rejects with the signal's reason when it is aborted. */
export async function* generateBatch(runner: Runner, prompts: Iterable<readonly number[]>, endTokens: ReadonlySet<number>, options: BatchOptions = {}): AsyncGenerator<Completion, void> {
  const { maxTokens = Infinity, temperature = 0, seed = randomSeed(), parallel = 256, signal } = options;
  if (!(maxTokens >= 1)) throw new RangeError(`maxTokens must be at least 1, got ${maxTokens}`);
  if (!Number.isInteger(parallel) || parallel < 1) throw new RangeError(`parallel must be a whole number of sequences, got ${parallel}`);
  const stops = options.stopTokens ? new Set(options.stopTokens) : endTokens;
  const waiting = numbered(prompts);
  let running: Running[] = [];
  let isLast = false;
  try {
    for (;;) {
      const added: { sequence: Sequence; tokens: readonly number[] }[] = [];
      while (!isLast && running.length < parallel) {
        const { value, done } = waiting.next();
        isLast = done === true;
        if (done) break;
        const { index, prompt } = value;
        const room = checked(runner, index, prompt, maxTokens);
        const sequence = runner.sequence();
        running.push({ index, sequence, seed: seedOf(seed, index), room, tokens: [], next: prompt[prompt.length - 1], ended: false });
        added.push({ sequence, tokens: prompt.slice(0, -1) });
      }
      if (running.length === 0) return;
      await prefillTogether(runner, added, signal);
      yield* drawTogether(runner, running, { stops, temperature, signal, wantedFree: isLast ? Math.ceil(running.length / 2) : Math.ceil(parallel * FREE_SHARE) });
      running = running.filter(({ ended }) => !ended);
    }
  } finally {
    for (const { sequence } of running) sequence.dispose();
  }
}

/** Draws tokens until `wantedFree` of the sequences have ended. */
async function* drawTogether(
  runner: Runner, running: readonly Running[], { stops, temperature, signal, wantedFree }: { stops: ReadonlySet<number>; temperature: number; signal?: AbortSignal; wantedFree: number },
): AsyncGenerator<Completion, void> {
  const draws = runner.draw(running.map(({ sequence, next, seed, room, tokens }) => ({ sequence, token: next, temperature, seed, limit: room - tokens.length })));
  let free = 0;
  for (let drawn; (drawn = await draws.next()) !== undefined;) {
    signal?.throwIfAborted();
    const completions: Completion[] = [];
    for (const [i, each] of running.entries()) {
      if (each.ended || drawn[i] < 0) continue;
      each.tokens.push(each.next = drawn[i]);
      const stopped = stops.has(each.next);
      if (!stopped && each.tokens.length < each.room) continue;
      each.ended = true;
      draws.end(i);
      each.sequence.dispose();
      completions.push({ index: each.index, tokens: each.tokens, finishReason: stopped ? 'stop' : 'length' });
    }
    free += completions.length;
    if (free >= wantedFree) draws.finish();
    yield* completions;
  }
}

/** Feeds prompts, as many at a time as make up a chunk. */
async function prefillTogether(runner: Runner, added: readonly { sequence: Sequence; tokens: readonly number[] }[], signal?: AbortSignal): Promise<void> {
  let chunk: { sequence: Sequence; tokens: readonly number[]; logits: 'none' }[] = [];
  let size = 0;
  const { promptChunk } = runner;
  const feed = async () => {
    signal?.throwIfAborted();
    if (chunk.length > 0) await runner.step(chunk);
    [chunk, size] = [[], 0];
  };
  for (const { sequence, tokens } of added) {
    for (let at = 0; at < tokens.length;) {
      const part = tokens.slice(at, at + promptChunk - size);
      chunk.push({ sequence, tokens: part, logits: 'none' });
      at += part.length;
      size += part.length;
      if (size === promptChunk) await feed();
    }
  }
  await feed();
}

function* numbered(prompts: Iterable<readonly number[]>): Generator<{ index: number; prompt: readonly number[] }, undefined> {
  let index = 0;
  for (const prompt of prompts) yield { index: index++, prompt };
  return undefined;
}

/** How many tokens may follow the prompt. */
function checked(runner: Runner, index: number, prompt: readonly number[], maxTokens: number): number {
  if (prompt.length === 0) throw new RangeError(`prompt ${index} is empty`);
  runner.checkTokens(prompt);
  const room = Math.min(maxTokens, runner.contextLength - prompt.length);
  if (room < 1) throw new RangeError(`prompt ${index} of ${prompt.length} tokens leaves no room in the context of ${runner.contextLength}`);
  return room;
}

/** Seeds of neighbouring prompts far apart. */
const seedOf = (seed: number, index: number): number => (seed + Math.imul(index, 0x9e3779b9)) | 0;
