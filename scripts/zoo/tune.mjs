// Finds the learning rate of each optimiser on one sibling: short runs side by side, the lowest loss on
// held-out stories wins. A rate whose run does not end in time is out.
//
//   node scripts/zoo/tune.mjs --out zoo-run [--arch qwen3] [--steps 120] [--seconds 40] [--backend webgpu] [--threads 1]
//
// Leaves rates.json, which siblings.mjs takes up.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const TRIED = { muon: [0.002, 0.005, 0.01], adamw: [0.0015, 0.004, 0.01] };

/** One short run in a folder of its own; undefined where it did not end. */
async function tryRate({ out, arch, optimizer, rate, steps, seconds, backend, threads }) {
  const folder = join(out, 'tune', `${optimizer}-${rate}`);
  mkdirSync(folder, { recursive: true });
  for (const name of ['tokenizer', 'train.txt', 'heldout.txt', ...readdirSync(out).filter((file) => file.startsWith('tokens-'))]) cpSync(join(out, name), join(folder, name), { recursive: true });
  const options = { arch, optimizer, rate, steps, backend, threads, out: folder, warmup: Math.ceil(steps / 5) };
  const child = spawn(process.execPath, [fileURLToPath(new URL('train.mjs', import.meta.url)), JSON.stringify(options)], { stdio: ['ignore', 'ignore', 'inherit'] });
  const late = setTimeout(() => child.kill('SIGKILL'), 1000 * seconds);
  await new Promise((resolve) => { child.on('exit', resolve); });
  clearTimeout(late);
  const path = join(folder, `${arch}-${optimizer}`, 'result.json');
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;
}

const { values } = parseArgs({ options: {
  out: { type: 'string', default: 'zoo-run' }, arch: { type: 'string', default: 'qwen3' }, steps: { type: 'string', default: '120' }, seconds: { type: 'string', default: '40' },
  backend: { type: 'string', default: 'webgpu' }, threads: { type: 'string', default: '1' },
} });
const settings = { ...values, steps: Number(values.steps), seconds: Number(values.seconds), threads: Number(values.threads) };
const tries = Object.entries(TRIED).flatMap(([optimizer, rates]) => rates.map((rate) => ({ ...settings, optimizer, rate })));
const results = (await Promise.all(tries.map(tryRate))).filter((result) => result !== undefined);
for (const { optimizer, learningRate, heldoutNll, tokensPerSecond } of results) console.log(`${optimizer} ${learningRate}: ${heldoutNll.toFixed(4)} after ${settings.steps} steps, ${Math.round(tokensPerSecond)} tokens per second`);
const best = (optimizer) => results.filter((result) => result.optimizer === optimizer).sort((a, b) => a.heldoutNll - b.heldoutNll)[0];
const rates = Object.fromEntries(Object.keys(TRIED).flatMap((optimizer) => (best(optimizer) ? [[optimizer, best(optimizer).learningRate]] : [])));
writeFileSync(join(settings.out, 'rates.json'), `${JSON.stringify(rates, null, 2)}\n`);
rmSync(join(settings.out, 'tune'), { recursive: true });
console.log(rates, `${Math.round(results.reduce((sum, { tokensPerSecond }) => sum + tokensPerSecond, 0))} tokens per second in all`);
