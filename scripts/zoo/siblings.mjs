// Trains all siblings of the zoo side by side, a process each, within a given time: first with Muon,
// then with AdamW. How many steps all of them make is decided when each has told how long one takes.
//
//   node scripts/zoo/siblings.mjs --out zoo-run [--seconds 480] [--backend webgpu] [--threads 1]
//     [--batch 16] [--context 256] [--architectures gpt2,qwen3] [--optimizers muon,adamw]
//     [--steps 1000: as many, whatever the time] [--most-steps 5000: at most so many]
//
// Reads what corpus.mjs, tokenizer.mjs and tune.mjs (if it ran) left in --out; leaves a directory per sibling and results.json.

import { fork } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** From the oldest design to the newest. */
export const SIBLINGS = ['gpt2', 'olmo2', 'gemma3', 'mistral', 'llama4', 'qwen3', 'qwen3_moe', 'smollm3', 'deepseek_v3', 'kimi_k2'];
/** Share of the remaining time that the first optimiser gets: an orthogonalised step takes longer. */
const FIRST_SHARE = 0.6;
/** Seconds kept for saving and measuring. */
const RESERVE = 12;
/** Steps are slower than the probe's when others still compile or save. */
const SAFETY = 0.92;

/** One process; `probed` resolves to its seconds per step, `done` to null or to what went wrong. */
function startSibling(options) {
  const child = fork(fileURLToPath(new URL('train.mjs', import.meta.url)), [JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const done = new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message));
    child.on('exit', (code, signal) => resolve(code === 0 ? null : `ended with ${signal ?? `code ${code}`}`));
  });
  const probed = Promise.race([new Promise((resolve) => { child.once('message', ({ secondsPerStep }) => resolve(secondsPerStep)); }), done.then(() => null)]);
  return { arch: options.arch, child, probed, done };
}

/** All siblings with one optimiser until `deadline` (performance.now()); returns the steps that each made. */
async function trainTogether({ architectures, deadline, steps, mostSteps, ...options }) {
  const siblings = architectures.map((arch) => startSibling({ ...options, arch, steps }));
  const killing = setTimeout(() => { for (const { child } of siblings) child.kill('SIGKILL'); }, Math.max(0, deadline - performance.now()));
  let goal = steps;
  if (goal === undefined) {
    const times = await Promise.all(siblings.map(({ probed }) => probed));
    times.forEach((time, i) => console.log(`${options.optimizer} ${architectures[i]}: ${time === null ? 'failed' : `${time.toFixed(3)} s per step`}`));
    const slowest = Math.max(...times.filter((time) => time !== null));
    goal = Math.min(mostSteps, Math.floor((SAFETY * ((deadline - performance.now()) / 1000 - RESERVE)) / slowest));
    console.log(`${options.optimizer}: ${goal} steps each`);
    siblings.forEach(({ child }, i) => { if (times[i] !== null) child.send({ steps: goal }); });
  }
  for (const { arch, done } of siblings) {
    const failure = await done;
    if (failure) console.log(`${options.optimizer} ${arch}: ${failure}`);
  }
  clearTimeout(killing);
  return goal;
}

export async function trainSiblings({ out, seconds, architectures, optimizers, steps, mostSteps, ...options }) {
  const started = performance.now();
  const end = started + 1000 * seconds;
  const rates = existsSync(join(out, 'rates.json')) ? JSON.parse(readFileSync(join(out, 'rates.json'), 'utf8')) : {};
  for (const [i, optimizer] of optimizers.entries()) {
    const last = i === optimizers.length - 1;
    const deadline = last ? end : performance.now() + FIRST_SHARE * (end - performance.now());
    steps = await trainTogether({ ...options, out, optimizer, rate: rates[optimizer], architectures, steps, mostSteps, deadline });
    const results = optimizers.flatMap((name) => architectures.map((arch) => join(out, `${arch}-${name}`, 'result.json'))).filter((path) => existsSync(path)).map((path) => JSON.parse(readFileSync(path, 'utf8')));
    writeFileSync(join(out, 'results.json'), `${JSON.stringify({ corpus: JSON.parse(readFileSync(join(out, 'corpus.json'), 'utf8')), siblings: results }, null, 2)}\n`);
  }
  return steps;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: {
    out: { type: 'string', default: 'zoo-run' }, seconds: { type: 'string', default: '480' }, backend: { type: 'string', default: 'webgpu' }, threads: { type: 'string', default: '1' },
    batch: { type: 'string' }, context: { type: 'string' }, steps: { type: 'string' }, architectures: { type: 'string', default: SIBLINGS.join() }, optimizers: { type: 'string', default: 'muon,adamw' }, 'most-steps': { type: 'string', default: '5000' },
  } });
  const given = (key) => (values[key] === undefined ? {} : { [key]: Number(values[key]) });
  await trainSiblings({
    out: values.out, seconds: Number(values.seconds), backend: values.backend, threads: Number(values.threads), ...given('batch'), ...given('context'), ...given('steps'),
    architectures: values.architectures.split(','), optimizers: values.optimizers.split(','), mostSteps: Number(values['most-steps']),
  });
}
