// One experiment: a config, an optimiser and a seed become a loss curve and the loss on held-out
// stories. The seed draws the weights and the order of the windows, nothing else is random; two
// experiments with one seed read the same tokens in the same order.

import { meanLoss } from '../dist/training/differentiate.js';
import { adamw, cosine, DivergedError, initialize, muon, muonClip, PackedBatches, Trainer } from '../dist/training/index.js';
import { mean, round } from './statistics.mjs';

const optimizers = { adamw, muon, muonclip: muonClip };
/** Points of a curve. */
const POINTS = 40;
/** Share of the steps over which the rate rises, and of the peak at the last step. */
const WARMUP = 0.1;
const FINAL = 0.02;
/** Tokens that are measured at once. */
const MEASURED_TOKENS = 8192;

/**
 * Trains and measures one model. `spec`:
 *   config        the hub's config.json of the model, its vocabulary the corpus's
 *   optimizer     { name: 'adamw' | 'muon' | 'muonclip', learningRate: the peak, … its options }
 *   seed, steps, context (tokens that a window predicts), batch (windows per step)
 *   lengths       positions up to which held-out stories are measured; the context by default. With
 *                 more than one, stories that end before the longest are left out.
 *   heldOut       most stories measured
 *   scores        records the largest attention score of each step
 *
 * Returns { curve: [{ step, loss, score?, clipped? }], heldOut: [{ from, to, nll, tokens }], tokens,
 * seconds }; where training ends in numbers that are none, `diverged` says how and `heldOut` is empty.
 */
export async function runExperiment(spec, corpus, { backend = 'auto', threads = 1 } = {}) {
  const { config, optimizer: { name, ...options }, seed, steps, context, batch, lengths = [context], heldOut = 400, scores = false } = spec;
  const batches = new PackedBatches(corpus.tokens, { context: context + 1, batch, seed, validation: 0, separator: corpus.mark });
  const model = await initialize(config, { seed, backend, threads });
  const trainer = new Trainer(model, { optimizer: optimizers[name](options), scores });
  const schedule = cosine({ warmup: Math.ceil(WARMUP * steps), final: FINAL });
  const [curve, started] = [new Curve(steps), performance.now()];
  let tokens = 0;
  try {
    while (trainer.step < steps) {
      const figures = await trainer.update([batches.at(trainer.step)], schedule(trainer.step + 1, steps));
      tokens += figures.tokens;
      curve.add(figures);
    }
    const seconds = (performance.now() - started) / 1000;
    return { curve: curve.points, heldOut: await measure(model.engine, chosen(corpus.heldOut, lengths, heldOut), lengths), tokens, seconds: round(seconds, 2) };
  } catch (error) {
    if (!(error instanceof DivergedError)) throw error;
    return { curve: curve.points, heldOut: [], tokens, seconds: round((performance.now() - started) / 1000, 2), diverged: error.message };
  } finally {
    trainer.dispose();
    await model.dispose();
  }
}

/** Means of the loss and maxima of the scores over stretches of equal length. */
class Curve {
  points = [];
  stretch = [];

  constructor(steps) {
    this.length = Math.max(1, Math.ceil(steps / POINTS));
    this.steps = steps;
  }

  add({ step, loss, largestScore, clippedHeads }) {
    this.stretch.push({ loss, score: largestScore, clipped: clippedHeads });
    if (this.stretch.length < this.length && step < this.steps) return;
    const numbers = (key) => this.stretch.map((each) => each[key]).filter((value) => value !== undefined);
    const [losses, scores, clipped] = ['loss', 'score', 'clipped'].map(numbers);
    this.points.push({
      step, loss: round(mean(losses)), ...(scores.length > 0 ? { score: round(Math.max(...scores), 2) } : {}), ...(clipped.length > 0 ? { clipped: round(mean(clipped), 2) } : {}),
    });
    this.stretch = [];
  }
}

/** Stories to measure, the same for every experiment with these lengths. */
function chosen(stories, lengths, most) {
  const longest = Math.max(...lengths);
  const fitting = lengths.length > 1 ? stories.filter((story) => story.length > longest) : stories;
  if (fitting.length === 0) throw new Error(`no held-out story is longer than ${longest} tokens: give more text, or a smaller --context`);
  return fitting.slice(0, most);
}

/**
 * Mean negative log-likelihood of the tokens behind each length up to the next: the sum over stories
 * cut at one length less the sum over the same stories cut at the one before.
 */
async function measure(engine, stories, lengths) {
  const parts = [];
  let [from, before] = [0, { sum: 0, count: 0 }];
  for (const to of lengths) {
    const upTo = await total(engine, stories.map((story) => story.slice(0, to + 1)));
    const tokens = upTo.count - before.count;
    parts.push({ from, to, nll: round((upTo.sum - before.sum) / tokens, 5), tokens });
    [from, before] = [to, upTo];
  }
  return parts;
}

async function total(engine, stories) {
  let [sum, count, at] = [0, 0, 0];
  while (at < stories.length) {
    const group = [];
    for (let tokens = 0; at < stories.length && (group.length === 0 || tokens + stories[at].length <= MEASURED_TOKENS); at++) {
      group.push(stories[at]);
      tokens += stories[at].length;
    }
    const { loss, tokens } = await meanLoss(engine, group);
    sum += loss * tokens;
    count += tokens;
  }
  return { sum, count };
}
