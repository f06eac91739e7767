// Measures what `docs/planner.md` compares the planner's predictions with: decode and prefill of
// published shapes with made-up q8_0 weights on this machine's WebAssembly engine, and how fast its
// memory is read. Not a test: run it on a built package.
//
//   node tests/analysis/plan-measure.mjs [--models gpt2,qwen3-0.6b] [--runs 5] [--threads 2] [--dist ../../dist]

import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';

const { values: options } = parseArgs({
  options: {
    models: { type: 'string', default: 'gpt2,gemma-3-270m,qwen3-0.6b,gemma-3-1b,llama-3.2-1b,qwen3-30b-a3b:2' },
    runs: { type: 'string', default: '5' }, threads: { type: 'string', default: '2' }, dist: { type: 'string', default: '../../dist' },
  },
});
const from = (file) => import(new URL(`${options.dist}/${file}`, import.meta.url).href);
const { createBackend } = await from('backends/wasm/index.js');
const { Engine } = await from('engine/index.js');
const { syntheticWeight } = await from('engine/synthetic.js');
const { benchmark } = await from('generate/benchmark.js');
const { findPublished } = await from('models/published.js');

const threads = Number(options.threads);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Bytes per second that `threads` workers read together from 256 MiB each: the median of several passes. */
async function bandwidth() {
  const source = `const { parentPort } = require('node:worker_threads');
    const data = new Float64Array(2 ** 25).fill(1);
    parentPort.on('message', () => {
      let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
      for (let i = 0; i < data.length; i += 8) { a += data[i]; b += data[i+1]; c += data[i+2]; d += data[i+3]; e += data[i+4]; f += data[i+5]; g += data[i+6]; h += data[i+7]; }
      parentPort.postMessage(a + b + c + d + e + f + g + h);
    });`;
  const workers = Array.from({ length: threads }, () => new Worker(source, { eval: true }));
  const pass = () => Promise.all(workers.map((worker) => new Promise((resolve) => { worker.once('message', resolve); worker.postMessage(0); })));
  for (let i = 0; i < 5; i++) await pass();
  const rates = [];
  for (let i = 0; i < 9; i++) {
    const start = performance.now();
    await pass();
    rates.push((threads * 2 ** 28) / (performance.now() - start) * 1000);
  }
  for (const worker of workers) await worker.terminate();
  return median(rates);
}

/** A published config, `name:layers` cut to its first layers. */
function configOf(text) {
  const [name, layers] = text.split(':');
  const { config } = findPublished(name);
  return layers ? { ...config, num_hidden_layers: Number(layers) } : config;
}

for (const name of options.models.split(',')) {
  const backend = await createBackend({ threads });
  const engine = Engine.create(configOf(name), backend, (parameter, device) => syntheticWeight(parameter, device, 'q8_0'), { contextLength: 512 });
  const before = await bandwidth();
  await benchmark(engine.runner, { prompt: 16, generate: 4 });
  const results = [];
  for (let i = 0; i < Number(options.runs); i++) results.push(await benchmark(engine.runner, { prompt: 128, generate: 32 }));
  const [decode, prefill] = [results.map((r) => r.decode), results.map((r) => r.prefill)];
  console.log(JSON.stringify({
    name, decode: +median(decode).toFixed(2), best: +Math.max(...decode).toFixed(2), worst: +Math.min(...decode).toFixed(2), prefill: +median(prefill).toFixed(1), bestPrefill: +Math.max(...prefill).toFixed(1),
    gigabytesPerSecond: [before, await bandwidth()].map((value) => +(value / 1e9).toFixed(1)), load: +loadavg()[0].toFixed(1),
  }));
  engine.dispose();
}
process.exit(0);
