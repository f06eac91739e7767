// From logits to the next token: greedy, or temperature, min-p, top-k, top-p in that order, with a
// repetition penalty before them and a seeded generator behind. Same seed, same text.

export interface SamplingOptions {
  /** 0 is greedy. */
  readonly temperature?: number;
  /** Keep the k likeliest; 0: all. */
  readonly topK?: number;
  /** Keep the likeliest whose probabilities sum to at least this. */
  readonly topP?: number;
  /** Keep those at least this fraction as likely as the likeliest. */
  readonly minP?: number;
  /** Divides positive and multiplies negative logits of tokens already there; 1: none. */
  readonly repetitionPenalty?: number;
  /** Whole number; random when absent. */
  readonly seed?: number;
}

/** A 32-bit generator (mulberry32): small, fast, and the same everywhere. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A seed for those who do not care which. */
export const randomSeed = (): number => Math.floor(Math.random() * 2 ** 32);

interface Candidate { readonly id: number; readonly p: number }

export class Sampler {
  private readonly random: () => number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly repetitionPenalty: number;

  constructor(options: SamplingOptions = {}) {
    this.temperature = inRange('temperature', options.temperature ?? 0, 0, 100);
    this.topK = inRange('topK', options.topK ?? 0, 0, 2 ** 31);
    this.topP = inRange('topP', options.topP ?? 1, 0, 1);
    this.minP = inRange('minP', options.minP ?? 0, 0, 1);
    this.repetitionPenalty = inRange('repetitionPenalty', options.repetitionPenalty ?? 1, 1e-6, 100);
    this.random = seededRandom(options.seed ?? randomSeed());
  }

  /** Picks a token. `seen`: every token of the sequence so far. `logits` is left as it is. */
  pick(logits: Float32Array, seen: readonly number[]): number {
    const scores = this.repetitionPenalty === 1 ? logits : this.penalised(logits, seen);
    if (this.temperature === 0) return largest(scores);
    return this.draw(this.candidates(scores));
  }

  private penalised(logits: Float32Array, seen: readonly number[]): Float32Array {
    const out = logits.slice();
    for (const id of new Set(seen)) out[id] = out[id] > 0 ? out[id] / this.repetitionPenalty : out[id] * this.repetitionPenalty;
    return out;
  }

  /** Tokens that survive every filter, with probabilities relative to the likeliest. */
  private candidates(scores: Float32Array): Candidate[] {
    const best = scores[largest(scores)];
    const relative = (id: number) => Math.exp((scores[id] - best) / this.temperature);
    let total = 0;
    for (let id = 0; this.topP < 1 && id < scores.length; id++) if (relative(id) >= this.minP) total += relative(id);
    // Sorting a whole vocabulary costs more than a small model's step: only as much as the filters need is sorted.
    for (const floor of this.topK > 0 || this.topP < 1 ? [1e-2, 1e-4, 1e-8, 0] : [0]) {
      const threshold = Math.max(floor, this.minP);
      const kept: Candidate[] = [];
      for (let id = 0; id < scores.length; id++) {
        const p = relative(id);
        if (p >= threshold && p > 0) kept.push({ id, p });
      }
      const cut = this.cut(kept, total);
      if (cut || threshold === this.minP || floor === 0) return cut ?? kept;
    }
    throw new Error('unreachable: the last floor keeps everything');
  }

  /** Top-k, then top-p over what is left; undefined when more candidates could be needed. */
  private cut(kept: Candidate[], total: number): Candidate[] | undefined {
    if (this.topK === 0 && this.topP >= 1) return kept;
    kept.sort((a, b) => b.p - a.p || a.id - b.id);
    const enoughForK = this.topK > 0 && kept.length >= this.topK;
    if (enoughForK) kept.length = this.topK;
    if (this.topP >= 1) return enoughForK ? kept : undefined;
    const mass = enoughForK ? kept.reduce((sum, { p }) => sum + p, 0) : total;
    let sum = 0;
    const last = kept.findIndex(({ p }) => (sum += p) >= this.topP * mass);
    return last < 0 ? (enoughForK ? kept : undefined) : kept.slice(0, last + 1);
  }

  private draw(kept: readonly Candidate[]): number {
    let left = this.random() * kept.reduce((sum, { p }) => sum + p, 0);
    for (const { id, p } of kept) if ((left -= p) < 0) return id;
    return kept[kept.length - 1].id;
  }
}

function inRange(name: string, value: number, low: number, high: number): number {
  if (!(value >= low && value <= high)) throw new RangeError(`${name} must be a number from ${low} to ${high}, got ${value}`);
  return value;
}

/** Index of the largest number, the lowest among equals. Logits that are not numbers are an error. */
export function largest(values: Float32Array): number {
  let best = -1;
  for (let i = 0; i < values.length; i++) if (best < 0 ? values[i] > -Infinity : values[i] > values[best]) best = i;
  if (best < 0 || !Number.isFinite(values[best])) throw new Error('the model produced no finite logits; its weights may hold NaN or infinite numbers');
  return best;
}

/** Natural log of the softmax probability of `id`. */
export function logProbability(logits: Float32Array, id: number): number {
  let max = -Infinity;
  for (const x of logits) max = Math.max(max, x);
  let sum = 0;
  for (const x of logits) sum += Math.exp(x - max);
  return logits[id] - max - Math.log(sum);
}
