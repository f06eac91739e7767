// How fast the WebGPU backend trains, and where a step's time on the GPU goes by op. Random tokens; run it on
// a built package.
//
//   node bench/training.mjs [--arch llama,qwen3_moe] [--optimizer adamw,muon] [--batch 64] [--context 256]
//        [--vocab 2048] [--steps 10] [--profile] [--recompute] [--precision f32] [--config config.json] [--dist ../dist]

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { randomModel } from './random-model.mjs';
import { openDevice } from './webgpu-device.mjs';

const { values: options } = parseArgs({
  options: {
    arch: { type: 'string', default: 'llama' }, optimizer: { type: 'string', default: 'adamw' }, batch: { type: 'string', default: '64' }, context: { type: 'string', default: '256' },
    vocab: { type: 'string', default: '2048' }, steps: { type: 'string', default: '10' }, profile: { type: 'boolean', default: false }, recompute: { type: 'boolean', default: false }, config: { type: 'string' }, precision: { type: 'string', default: 'f16' }, dist: { type: 'string', default: '../dist' },
  },
});
const from = (file) => import(new URL(`${options.dist}/${file}`, import.meta.url).href);
const { presetConfig } = await from('models/index.js');
const { seededRandom } = await from('generate/index.js');
const { adamw, muon, muonClip, Trainer } = await from('training/index.js');

const { adapter, gpu, timed, timePasses } = await openDevice(from);
console.log(`${adapter.info.description || adapter.info.device}`);

const [batch, context, steps] = [options.batch, options.context, options.steps].map(Number);
const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

/** Windows as a corpus gives them: cut into documents of a few hundred tokens, so that shapes vary a little. */
function sequences(vocabulary, seed) {
  const random = seededRandom(seed);
  return Array.from({ length: batch }, () => {
    const ids = Array.from({ length: context }, () => Math.floor(random() * vocabulary));
    const cut = 2 + Math.floor(random() * (context - 4));
    return [ids.slice(0, cut + 1), ids.slice(cut)];
  }).flat();
}

/** Each dispatch of a recorded step in a pass of its own, in order. */
async function profile(plan) {
  const [prepared, entries] = [plan.parts.flatMap((part) => part.prepared), plan.parts.flatMap((part) => part.entries)];
  const passes = prepared.map(({ pipeline, bindings, x, y }) => (pass) => {
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(x, y);
  });
  const owners = entries.flatMap((entry) => (entry.pipelines ?? []).map(() => entry.call));
  const whole = [];
  for (let i = 0; i < 5; i++) whole.push(...await timePasses([(pass) => { for (const encode of passes) encode(pass); }]));
  const [totals, kernels] = [new Map(), new Map()];
  const note = (map, name, ms) => { const entry = map.get(name) ?? { count: 0, ms: 0 }; map.set(name, { count: entry.count + 1, ms: entry.ms + ms }); };
  for (let first = 0; first < passes.length; first += 1000) {
    const runs = [];
    for (let i = 0; i < 3; i++) runs.push(await timePasses(passes.slice(first, first + 1000)));
    runs[0].forEach((_, i) => {
      const { op, inputs } = owners[first + i];
      const ms = median(runs.map((run) => run[i]));
      const kernel = prepared[first + i].pipeline.pipeline.label;
      note(totals, `${op}: ${kernel} (${inputs.slice(0, 2).map((o) => o.spec.shape.join('x')).join(', ')})`, ms);
      note(kernels, kernel, ms);
    });
  }
  console.log(`  the step on the GPU: ${median(whole).toFixed(2)} ms in one pass of ${passes.length} dispatches of ${entries.length} calls; each in a pass of its own:`);
  const rows = (map, most) => [...map].sort((a, b) => b[1].ms - a[1].ms).slice(0, most);
  console.log(`  by kernel: ${rows(kernels, 20).map(([name, { count, ms }]) => `${name} ${count} x ${ms.toFixed(2)} ms`).join(', ')}`);
  for (const [name, { count, ms }] of rows(totals, 36)) console.log(`  ${name.padEnd(76)} ${String(count).padStart(4)} x ${((1000 * ms) / count).toFixed(1).padStart(7)} us = ${ms.toFixed(3)} ms`);
}

const optimizers = { adamw, muon, muonclip: muonClip };
const configs = options.config ? [['config', JSON.parse(readFileSync(options.config, 'utf8'))]] : options.arch.split(',').map((arch) => [arch, presetConfig(arch, 'tiny', { vocab: Number(options.vocab), context })]);
for (const [name, config] of configs) for (const optimizer of options.optimizer.split(',')) {
  const model = await randomModel(from, config, gpu, seededRandom(1));
  const trainer = new Trainer(model, { optimizer: optimizers[optimizer](), precision: options.precision, ...(options.recompute ? { recompute: 'layers' } : {}) });
  const [times, losses] = [[], []];
  let tokens = 0;
  const { backend } = model.engine.device;
  let before = backend.counts;
  for (let i = 0; i < steps + 3; i++) {
    const given = sequences(config.vocab_size, i);
    const start = performance.now();
    before = backend.counts;
    const result = await trainer.update([given]);
    if (i >= 3) times.push(performance.now() - start);
    ({ tokens } = result);
    losses.push(result.loss);
  }
  const { dispatches, submits, usedBytes, idleBytes } = backend.counts;
  console.log(`${name} ${optimizer}${options.recompute ? ', layers computed again' : ''}, ${tokens} tokens a step: ${(tokens / median(times) * 1000).toFixed(0)} tok/s, ${median(times).toFixed(1)} ms a step (${Math.min(...times).toFixed(1)} to ${Math.max(...times).toFixed(1)}), `
    + `${dispatches - before.dispatches} dispatches and ${submits - before.submits} submissions; ${((usedBytes + idleBytes) / 1e6).toFixed(0)} MB; loss ${losses[0].toFixed(4)} to ${losses.at(-1).toFixed(4)}`);
  if (options.profile && timed) await profile(trainer.recorded.plan);
  trainer.dispose();
  model.engine.device.backend.flush();
}
process.exit(0);
