// Trains one sibling of the zoo and measures it on held-out stories.
//
//   node scripts/zoo/train.mjs '{"arch":"qwen3","optimizer":"muon","out":"zoo-run","steps":600}'
//
// As a child process (`siblings.mjs`) it makes PROBE_STEPS, tells how long a step takes, and is told how
// many to make in all: every sibling sees as many tokens as the slowest has time for. Leaves
// <out>/<arch>-<optimizer>/: the model in the hub's form, metrics.jsonl and result.json.

import { appendFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { presetConfig } from '../../dist/models/index.js';
import { END_OF_TEXT, loadTokenizer } from '../../dist/tokenizer/index.js';
import { meanLoss } from '../../dist/training/differentiate.js';
import { adamw, cosine, initialize, muon, PackedBatches, packedTokens, Trainer } from '../../dist/training/index.js';
import { storiesOf } from './tokenizer.mjs';

export const SETTINGS = { context: 256, batch: 16, warmup: 40, weightDecay: 0.1, seed: 1, heldout: 400, rates: { adamw: 3e-3, muon: 4e-3 } };
/** Within the warm-up, whose rates do not depend on how many steps there will be. */
const PROBE_STEPS = 24;
const UNTIMED_STEPS = 8;

const optimizers = { adamw, muon };

/** Held-out stories as the model reads them: mark, story, mark, cut at the context. */
function heldOut(path, tokenizer, { heldout, context }) {
  const mark = tokenizer.tokenToId(END_OF_TEXT);
  return storiesOf(path).slice(0, heldout).map((story) => [mark, ...tokenizer.encode(story, { addSpecialTokens: false }), mark].slice(0, context));
}

/** Mean negative log-likelihood per token. */
async function meanNll(engine, sequences, batch) {
  let [sum, count] = [0, 0];
  for (let at = 0; at < sequences.length; at += batch) {
    const { loss, tokens } = await meanLoss(engine, sequences.slice(at, at + batch));
    sum += loss * tokens;
    count += tokens;
  }
  return { nll: sum / count, tokens: count };
}

/** Tells the parent how long a step takes, and hears how many to make. */
function agreeOnSteps(secondsPerStep) {
  return new Promise((resolve) => {
    process.once('message', ({ steps }) => resolve(steps));
    process.send({ secondsPerStep });
  });
}

export async function trainSibling({ arch, optimizer, out, steps, backend = 'auto', threads, rate, ...changed }) {
  const settings = { ...SETTINGS, ...changed };
  const { context, batch, warmup, weightDecay, seed } = settings;
  const directory = join(out, `${arch}-${optimizer}`);
  mkdirSync(directory, { recursive: true });
  const metrics = join(directory, 'metrics.jsonl');
  rmSync(metrics, { force: true });

  const tokenizer = await loadTokenizer(join(out, 'tokenizer'));
  const mark = tokenizer.tokenToId(END_OF_TEXT);
  const batches = new PackedBatches(await packedTokens([join(out, 'train.txt')], tokenizer, { cache: out }), { context, batch, seed, validation: 0, separator: mark });
  const config = { ...presetConfig(arch, 'tiny', { vocab: tokenizer.vocabularySize, context }), bos_token_id: mark, eos_token_id: mark };
  const model = await initialize(config, { seed, backend, threads, tokenizer });
  const learningRate = rate ?? settings.rates[optimizer];
  const trainer = new Trainer(model, { optimizer: optimizers[optimizer]({ learningRate, weightDecay }) });
  const schedule = cosine({ warmup, final: 0.02 });

  let [tokens, started, probe] = [0, performance.now(), performance.now()];
  let goal = steps;
  while (trainer.step < (goal ?? PROBE_STEPS)) {
    const figures = await trainer.update([batches.at(trainer.step)], schedule(trainer.step + 1, goal ?? Infinity));
    tokens += figures.tokens;
    appendFileSync(metrics, `${JSON.stringify({ ...figures, seconds: (performance.now() - started) / 1000 })}\n`);
    if (figures.step === UNTIMED_STEPS) probe = performance.now();
    if (figures.step === PROBE_STEPS && goal === undefined) {
      goal = await agreeOnSteps((performance.now() - probe) / 1000 / (PROBE_STEPS - UNTIMED_STEPS));
    }
  }
  const seconds = (performance.now() - started) / 1000;
  await model.save(directory);
  const { nll, tokens: measured } = await meanNll(model.engine, heldOut(join(out, 'heldout.txt'), tokenizer, settings), batch);
  const result = {
    arch, optimizer, learningRate, steps: trainer.step, tokens, seconds, tokensPerSecond: tokens / seconds, heldoutNll: nll, heldoutTokens: measured,
    backend: model.backend, seed, context, batch, warmup, weightDecay,
  };
  writeFileSync(join(directory, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
  trainer.dispose();
  await model.dispose();
  return result;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const result = await trainSibling(JSON.parse(process.argv[2]));
  console.log(JSON.stringify(result));
  // A parent's channel would keep the process alive.
  if (process.connected) process.disconnect();
}
