// How well a model predicts a text, and how far its predictions are from another's: perplexity and
// the KL divergence, over windows of the context that do not overlap.

import type { Runner } from '../engine/index.js';

export interface EvaluateOptions {
  /** Tokens per window; each window starts afresh. */
  readonly window?: number;
  /** Stop after this many predicted tokens. */
  readonly maxTokens?: number;
  /** Another model with the same vocabulary whose distribution is the reference of the KL divergence. */
  readonly against?: Runner;
  readonly onProgress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

export interface Evaluation {
  /** Predicted tokens. */
  readonly tokens: number;
  /** Mean negative log-likelihood, in nats per token. */
  readonly meanNll: number;
  readonly perplexity: number;
  /** Mean KL divergence of this model's next-token distribution from the other's, in nats. */
  readonly klDivergence?: number;
  /** Share of tokens whose likeliest prediction is the other's too. */
  readonly sameTopToken?: number;
}

/** Rows of logits computed at a time: a large vocabulary times a window is gigabytes. */
const ROWS = 64;

/** Evaluates predictions of ids[1..], window by window. */
export async function evaluate(runner: Runner, ids: readonly number[], options: EvaluateOptions = {}): Promise<Evaluation> {
  const { window = Math.min(512, runner.contextLength), against, signal, onProgress } = options;
  const total = Math.min(ids.length - 1, options.maxTokens ?? Infinity);
  if (total < 1) throw new RangeError('evaluation needs a text of at least two tokens');
  const sums = { tokens: 0, nll: 0, kl: 0, same: 0 };
  for (let start = 0; sums.tokens < total; start += window) {
    const part = ids.slice(start, start + window + 1);
    if (part.length < 2) break;
    await evaluateWindow(runner, against, part.slice(0, total - sums.tokens + 1), sums, async () => {
      // A backend that computes on this thread never waits: without a pause no key press would get through.
      await new Promise((resolve) => { setTimeout(resolve, 0); });
      signal?.throwIfAborted();
      onProgress?.(sums.tokens, total);
    });
  }
  if (!Number.isFinite(sums.nll)) throw new Error('the model produced no finite logits; its weights may hold NaN or infinite numbers');
  return {
    tokens: sums.tokens, meanNll: sums.nll / sums.tokens, perplexity: Math.exp(sums.nll / sums.tokens),
    ...(against ? { klDivergence: sums.kl / sums.tokens, sameTopToken: sums.same / sums.tokens } : {}),
  };
}

async function evaluateWindow(runner: Runner, against: Runner | undefined, ids: readonly number[], sums: { tokens: number; nll: number; kl: number; same: number }, tick: () => Promise<void>): Promise<void> {
  const [sequence, other] = [runner.sequence(), against?.sequence()];
  try {
    for (let at = 0; at + 1 < ids.length; at += ROWS) {
      const tokens = ids.slice(at, Math.min(at + ROWS, ids.length - 1));
      const [logits] = await runner.step([{ sequence, tokens, logits: 'all' }]);
      const reference = against && other ? (await against.step([{ sequence: other, tokens, logits: 'all' }]))[0] : undefined;
      const vocab = logits.length / tokens.length;
      tokens.forEach((_, row) => {
        const own = logProbabilities(logits.subarray(row * vocab, (row + 1) * vocab));
        sums.tokens++;
        sums.nll -= own.values[ids[at + row + 1]];
        if (!reference) return;
        const theirs = logProbabilities(reference.subarray(row * vocab, (row + 1) * vocab));
        for (let i = 0; i < vocab; i++) sums.kl += Math.exp(theirs.values[i]) * (theirs.values[i] - own.values[i]);
        if (own.best === theirs.best) sums.same++;
      });
      await tick();
    }
  } finally {
    sequence.dispose();
    other?.dispose();
  }
}

function logProbabilities(logits: Float32Array): { values: Float64Array; best: number } {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[best]) best = i;
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - logits[best]);
  const norm = logits[best] + Math.log(sum);
  return { values: Float64Array.from(logits, (x) => x - norm), best };
}
