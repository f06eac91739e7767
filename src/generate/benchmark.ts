// How fast a model runs here: prompt tokens per second, decoded tokens per second, sequences
// decoded together. Measured around the engine's own steps, greedy, without text.

import type { Runner, Sequence } from '../engine/index.js';
import { PREFILL_CHUNK } from './generate.js';
import { largest } from './sampler.js';

export interface BenchmarkOptions {
  /** Prompt tokens. */
  readonly prompt?: number;
  /** Tokens decoded after it, per sequence. */
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

/** Runs one warm-up token, then prefill and decode, once. */
export async function benchmark(runner: Runner, { prompt = 512, generate = 64, sequences = 1, signal }: BenchmarkOptions = {}): Promise<BenchmarkResult> {
  if (prompt + generate > runner.contextLength) throw new RangeError(`${prompt} + ${generate} tokens are more than the context of ${runner.contextLength}`);
  const { vocab } = runner.decoder.frame;
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7919 + 11) % vocab);
  const made: Sequence[] = [];
  const start = async (): Promise<{ sequence: Sequence; next: number }> => {
    const sequence = runner.sequence();
    made.push(sequence);
    let logits = new Float32Array(0);
    for (let at = 0; at < prompt; at += PREFILL_CHUNK) {
      signal?.throwIfAborted();
      const tokens = ids.slice(at, at + PREFILL_CHUNK);
      [logits] = await runner.step([{ sequence, tokens, logits: at + tokens.length < prompt ? 'none' : 'last' }]) as [Float32Array<ArrayBuffer>];
    }
    return { sequence, next: largest(logits) };
  };
  try {
    const before = performance.now();
    const running = [await start()];
    const prefill = (prompt / (performance.now() - before)) * 1000;
    while (running.length < sequences) running.push(await start());
    await advance(runner, running); // records the plan
    const decodeStart = performance.now();
    for (let i = 0; i < generate - 1; i++) {
      signal?.throwIfAborted();
      await advance(runner, running);
    }
    const decode = ((generate - 1) * sequences / (performance.now() - decodeStart)) * 1000;
    return { promptTokens: prompt, generatedTokens: generate, sequences, prefill, decode };
  } finally {
    for (const sequence of made) sequence.dispose();
  }
}

async function advance(runner: Runner, running: { sequence: Sequence; next: number }[]): Promise<void> {
  const logits = await runner.step(running.map(({ sequence, next }) => ({ sequence, tokens: [next] })));
  running.forEach((each, i) => { each.next = largest(logits[i]); });
}
