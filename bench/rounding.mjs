// What rounding float32 matrices to f16 for products on matrix units costs gradients: those of one batch of
// random tokens with and without it, on the same GPU. Run it on a built package.
//
//   node bench/rounding.mjs [--config config.json] [--arch qwen3] [--batch 8] [--context 256]

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { randomModel } from './random-model.mjs';
import { openDevice } from './webgpu-device.mjs';

const { values: options } = parseArgs({
  options: { arch: { type: 'string', default: 'qwen3' }, batch: { type: 'string', default: '8' }, context: { type: 'string', default: '256' }, config: { type: 'string' }, dist: { type: 'string', default: '../dist' } },
});
const from = (file) => import(new URL(`${options.dist}/${file}`, import.meta.url).href);
const { presetConfig } = await from('models/index.js');
const { seededRandom } = await from('generate/index.js');
const { lossAndGradients } = await from('training/index.js');

const { adapter, gpu } = await openDevice(from);
console.log(`${adapter.info.description || adapter.info.device}, matrix units in use: ${JSON.stringify(gpu.capabilities.matrix)}`);

const config = options.config ? JSON.parse(readFileSync(options.config, 'utf8')) : presetConfig(options.arch, 'tiny', { vocab: 2048, context: Number(options.context) });
const random = seededRandom(1);
const model = await randomModel(from, config, gpu, random);
const sequences = Array.from({ length: Number(options.batch) }, () => Array.from({ length: Number(options.context) }, () => Math.floor(random() * config.vocab_size)));

async function gradientsWith(roundsFloats) {
  model.engine.device.backend.roundsFloats = roundsFloats;
  return lossAndGradients(model, sequences);
}
const size = (values) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
const exact = await gradientsWith(false);
const rounded = await gradientsWith(true);
const errors = [...exact.gradients].map(([name, right]) => {
  const got = rounded.gradients.get(name);
  const off = right.map((x, i) => got[i] - x);
  const largest = (values) => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  return { name, norm: size(off) / size(right), largest: largest(off) / largest(right) };
}).sort((a, b) => b.norm - a.norm);
console.log(`loss ${exact.loss} and ${rounded.loss}; gradients of ${errors.length} parameters: norm of the difference over the norm, median ${errors[errors.length >> 1].norm.toExponential(2)}, most:`);
for (const { name, norm, largest } of errors.slice(0, 6)) console.log(`  ${name.padEnd(50)} ${norm.toExponential(2)}, largest difference over the largest ${largest.toExponential(2)}`);
await model.dispose();
process.exit(0);
