// Generation: prefill in chunks, pick, stream text that never splits a character, stop.

import type { Runner, Sequence } from '../engine/index.js';
import { StopMatcher } from '../tokenizer/index.js';
import type { Tokenizer } from '../tokenizer/index.js';
import { breathe } from './breathe.js';
import { logProbability, Sampler } from './sampler.js';
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

/** Prompt tokens per step: bounds the memory of activations. */
export const PREFILL_CHUNK = 256;

/** Feeds tokens in chunks; returns the logits of the last. */
export async function prefill(runner: Runner, sequence: Sequence, tokens: readonly number[], signal?: AbortSignal): Promise<Float32Array> {
  let logits = new Float32Array(0);
  for (let at = 0; at < tokens.length; at += PREFILL_CHUNK) {
    signal?.throwIfAborted();
    const chunk = tokens.slice(at, at + PREFILL_CHUNK);
    [logits] = await runner.step([{ sequence, tokens: chunk, logits: at + chunk.length < tokens.length ? 'none' : 'last' }]) as [Float32Array<ArrayBuffer>];
    await breathe();
  }
  return logits;
}

/** Continues `prompt` token by token. Returns why it ended. */
export async function* generate(
  runner: Runner, prompt: readonly number[], tokenizer: Tokenizer | undefined, endTokens: ReadonlySet<number>, options: GenerateOptions,
): AsyncGenerator<Piece, FinishReason> {
  const { maxTokens = Infinity, signal, ignoreEos = false, logprobs = false } = options;
  if (prompt.length === 0) throw new RangeError('the prompt is empty');
  if (!(maxTokens >= 0)) throw new RangeError(`maxTokens must be at least 0, got ${maxTokens}`);
  runner.checkTokens(prompt);
  const sampler = new Sampler(options);
  const stops = typeof options.stop === 'string' ? [options.stop] : [...(options.stop ?? [])];
  if (stops.length > 0 && !tokenizer) throw new Error('stop strings need a tokenizer, which this checkpoint does not have');
  const text = textStream(tokenizer, prompt, stops);
  const room = Math.min(maxTokens, runner.contextLength - prompt.length);
  const sequence = runner.sequence();
  try {
    if (signal?.aborted || room <= 0) return signal?.aborted ? 'aborted' : 'length';
    let logits = await prefill(runner, sequence, prompt, signal);
    for (let count = 1; ; count++) {
      const token = sampler.pick(logits, sequence.tokens);
      const logprob = logprobs ? { logprob: logProbability(logits, token) } : {};
      const ended = !ignoreEos && endTokens.has(token);
      const { piece, stopped } = ended ? { piece: text.end(), stopped: true } : text.push(token, count >= room);
      yield { token, text: piece, ...logprob };
      if (stopped) return 'stop';
      if (count >= room) return 'length';
      if (signal?.aborted) return 'aborted';
      [logits] = await runner.step([{ sequence, tokens: [token] }]);
      await breathe();
      if (signal?.aborted) return 'aborted';
    }
  } catch (error) {
    if (signal?.aborted) return 'aborted';
    throw error;
  } finally {
    sequence.dispose();
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
