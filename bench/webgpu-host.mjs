// What a prompt asks of the calling thread and of the driver, counted on a device that does nothing: no
// GPU is needed, and none of the time is the driver's. Run it on a built package.
//
//   node bench/webgpu-host.mjs [--shape 8b] [--format f16] [--layers n] [--prompt 2048] [--runs 8]

import { parseArgs } from 'node:util';
import { Gpu } from '../dist/backends/webgpu/gpu.js';
import { WebGpuBackend } from '../dist/backends/webgpu/index.js';
import { syntheticEngine } from '../dist/engine/synthetic.js';
import { findPublished } from '../dist/models/published.js';
import { foundOnH100, idleAdapter, idleDevice } from './idle-device.mjs';
import { publishedShape } from './published-shape.mjs';

const { values: options } = parseArgs({
  options: { shape: { type: 'string', default: '8b' }, format: { type: 'string', default: 'f16' }, layers: { type: 'string' }, prompt: { type: 'string', default: '2048' }, runs: { type: 'string', default: '8' } },
});

const { device, counts, reset } = idleDevice();
const gpu = await Gpu.on(idleAdapter, device);
gpu.capabilities = { ...gpu.capabilities, ...foundOnH100 };
const backend = new WebGpuBackend(gpu);
// The vocabulary's size changes nothing here but the time that made-up weights take.
const engine = await syntheticEngine({ ...publishedShape(findPublished, options.shape), vocab_size: 2000, ...(options.layers && { num_hidden_layers: Number(options.layers) }) }, backend, options.format);
const tokens = Array.from({ length: Number(options.prompt) }, (_, i) => i % 1000);
for (let i = 0; i < Number(options.runs); i++) {
  reset();
  const sequence = engine.runner.sequence();
  const start = performance.now();
  await engine.runner.step([{ sequence, tokens, logits: 'last' }]);
  const { buffers, madeBytes, destroyed, bindGroups, dispatches, submissions, inFirstSubmission } = counts;
  console.log(`prompt ${i + 1}: ${(performance.now() - start).toFixed(1)} ms; ${buffers} buffers made (${(madeBytes / 1e6).toFixed(0)} MB), ${destroyed} destroyed; ${bindGroups} bind groups, ${dispatches} dispatches in ${submissions} submissions, the first of ${inFirstSubmission}`);
  sequence.dispose();
}
console.log(`kept idle: ${(backend.counts.idleBytes / 1e6).toFixed(0)} MB`);
engine.dispose();
process.exit(0);
