// Generation: prefill in chunks, pick, stream text that never splits a character, stop.

import type { Runner, Sequence } from '../engine/index.js';
import { StopMatcher } from '../tokenizer/index.js';
import type { Tokenizer } from '../tokenizer/index.js';
import { breathe } from './breathe.js';
import { logProbability, randomSeed, Sampler } from './sampler.js';
import type { SamplingOptions } from './sampler.js';

export interface GenerateOptions extends SamplingOptions {
  /** At most this many tokens; until the context is full when absent. */
  readonly maxTokens?: number;
  /** Text before which generation ends; it is not part of the output. */
  readonly stop?: string | readonly string[];
  /** Do not end at the model's end-of-turn tokens. */
  readonly ignoreEos?: boolean;
  readonly signal?: AbortSignal;
  /** Adds each token's log probability under the model's own distribution. */
  readonly logprobs?: boolean;
}

/** One step's output. `text` may be empty while a character or a possible stop string is incomplete. */
export interface Piece { readonly token: number; readonly text: string; readonly logprob?: number }

export type FinishReason = 'stop' | 'length' | 'aborted';

/** Feeds tokens in chunks; returns the logits of the last, where they are wanted. */
export async function prefill(runner: Runner, sequence: Sequence, tokens: readonly number[], signal?: AbortSignal, wanted: 'last' | 'none' = 'last'): Promise<Float32Array> {
  let logits = new Float32Array(0);
  for (let at = 0; at < tokens.length;) {
    signal?.throwIfAborted();
    const chunk = tokens.slice(at, at + runner.promptChunk);
    at += chunk.length;
    [logits] = await runner.step([{ sequence, tokens: chunk, logits: at < tokens.length ? 'none' : wanted }]) as [Float32Array<ArrayBuffer>];
    await breathe();
  }
  return logits;
}

/** Continues `prompt` token by token. Returns why it ended. */
export async function* generate(
  runner: Runner, prompt: readonly number[], tokenizer: Tokenizer | undefined, endTokens: ReadonlySet<number>, options: GenerateOptions,
): AsyncGenerator<Piece, FinishReason> {
  const { maxTokens = Infinity, signal, ignoreEos = false } = options;
  if (prompt.length === 0) throw new RangeError('the prompt is empty');
  if (!(maxTokens >= 0)) throw new RangeError(`maxTokens must be at least 0, got ${maxTokens}`);
  runner.checkTokens(prompt);
  const stops = typeof options.stop === 'string' ? [options.stop] : [...(options.stop ?? [])];
  if (stops.length > 0 && !tokenizer) throw new Error('stop strings need a tokenizer, which this checkpoint does not have');
  const text = textStream(tokenizer, prompt, stops);
  const room = Math.min(maxTokens, runner.contextLength - prompt.length);
  const sequence = runner.sequence();
  try {
    if (signal?.aborted || room <= 0) return signal?.aborted ? 'aborted' : 'length';
    let count = 0;
    for await (const { token, ...logprob } of drawnByDevice(runner, options) ? drawn(runner, sequence, prompt, room, options) : picked(runner, sequence, prompt, options)) {
      if (signal?.aborted) return 'aborted';
      count++;
      const ended = !ignoreEos && endTokens.has(token);
      const { piece, stopped } = ended ? { piece: text.end(), stopped: true } : text.push(token, count >= room);
      yield { token, text: piece, ...logprob };
      if (stopped) return 'stop';
      if (count >= room) return 'length';
      if (signal?.aborted) return 'aborted';
    }
    return 'length';
  } catch (error) {
    if (signal?.aborted) return 'aborted';
    throw error;
  } finally {
    sequence.dispose();
  }
}

type Chosen = Omit<Piece, 'text'>;

/** Tokens that the host picks from logits it reads back. */
async function* picked(runner: Runner, sequence: Sequence, prompt: readonly number[], options: GenerateOptions): AsyncGenerator<Chosen, void> {
  const sampler = new Sampler(options);
  let logits = await prefill(runner, sequence, prompt, options.signal);
  for (;;) {
    const token = sampler.pick(logits, sequence.tokens);
    yield { token, ...(options.logprobs ? { logprob: logProbability(logits, token) } : {}) };
    [logits] = await runner.step([{ sequence, tokens: [token] }]) as [Float32Array<ArrayBuffer>];
    await breathe();
  }
}

/** Whether the device can choose tokens as the options want: with a temperature, and nothing else. */
function drawnByDevice(runner: Runner, options: GenerateOptions): boolean {
  const { temperature, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = new Sampler(options);
  const filtered = temperature > 0 && (topK > 0 || topP < 1 || minP > 0);
  return runner.drawsOnDevice && !options.logprobs && !filtered && repetitionPenalty === 1;
}

/** Tokens that the device draws. */
async function* drawn(runner: Runner, sequence: Sequence, prompt: readonly number[], limit: number, options: GenerateOptions): AsyncGenerator<Chosen, void> {
  const { temperature = 0, seed = randomSeed(), signal } = options;
  await prefill(runner, sequence, prompt.slice(0, -1), signal, 'none');
  const draws = runner.draw([{ sequence, token: prompt[prompt.length - 1], temperature, seed, limit }]);
  for (let tokens; (tokens = await draws.next()) !== undefined;) {
    yield { token: tokens[0] };
    if (!runner.drawsAhead) await breathe();
  }
}

/** Decodes tokens to text and watches for stop strings. The prompt decides how the text goes on. */
function textStream(tokenizer: Tokenizer | undefined, prompt: readonly number[], stops: readonly string[]) {
  const stream = tokenizer?.stream({ skipSpecialTokens: true });
  for (const token of prompt) stream?.push(token);
  const matcher = new StopMatcher(stops);
  const rest = () => matcher.push(stream?.end() ?? '') + matcher.end();
  return {
    push(token: number, last: boolean): { piece: string; stopped: boolean } {
      const piece = matcher.push(stream?.push(token) ?? '');
      return { piece: piece + (last && !matcher.stopped ? rest() : ''), stopped: matcher.stopped };
    },
    end: rest,
  };
}
