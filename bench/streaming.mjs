// A model larger than memory: the shape of Qwen3-30B-A3B with made-up weights, written once to a GGUF
// file, run within a bound. Prints tokens per second, what the cache did, and the most memory that the
// process ever had. Every token is another one, so that routers choose anew each time. How evenly made-up
// routers choose says nothing about a trained model's: hit rates here are of this file only. With --cold the
// system forgets what it has cached of the file before every step (GNU dd), which is not counted.
//
//   node bench/streaming.mjs <file.gguf> [--memory 8GB] [--model qwen3-30b-a3b] [--layers n] [--weights q4_0] [--prompt 32] [--tokens 16] [--threads n] [--cold]

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fromDist } from './peers/dist.mjs';
import { writeSyntheticGguf } from './peers/synthetic-gguf.mjs';

const { values: options, positionals: [file] } = parseArgs({
  allowPositionals: true,
  options: {
    memory: { type: 'string', default: '8GB' }, model: { type: 'string', default: 'qwen3-30b-a3b' }, layers: { type: 'string' }, weights: { type: 'string', default: 'q4_0' },
    prompt: { type: 'string', default: '32' }, tokens: { type: 'string', default: '16' }, threads: { type: 'string' }, cold: { type: 'boolean', default: false },
  },
});
if (!file) throw new Error('usage: node bench/streaming.mjs <file.gguf> [options]');
const { findPublished } = await fromDist('models/published.js');
const { memorySize } = await fromDist('cli/options.js');
const { loadModel } = await fromDist('index.js');

if (!existsSync(file)) {
  const { config } = findPublished(options.model);
  const started = performance.now();
  await writeSyntheticGguf(file, { ...config, num_hidden_layers: Number(options.layers ?? config.num_hidden_layers) }, options.model, options.weights);
  console.log(`written in ${((performance.now() - started) / 1000).toFixed(0)} s; run this again to measure, so that what writing took is not counted`);
  process.exit(0);
}

/** Most bytes that this process ever had in memory; Linux says. */
const peak = () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;
const began = performance.now();
const model = await loadModel(file, { memory: memorySize(options.memory), contextLength: 4096, backend: 'wasm', threads: options.threads && Number(options.threads) });
const { residency, device: { backend } } = model.engine;
console.log(`load ${((performance.now() - began) / 1000).toFixed(1)} s; weights ${gigabytes(residency.weights)}, ${gigabytes(residency.held)} held, cache ${gigabytes(residency.streaming?.cacheBytes ?? 0)}`,
  residency.experts ?? '', residency.layers ?? '', `peak so far ${gigabytes(peak())}`);
const sequence = model.sequence();
const counts = () => ({ ...(backend.streamCounts ?? { hits: 0, misses: 0, ahead: 0, bytesRead: 0 }) });
async function timed(what, steps) {
  const before = counts();
  let [seconds, tokens] = [0, 0];
  for (const next of steps) {
    if (options.cold) execFileSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
    const start = performance.now();
    const ids = next();
    await model.step([{ sequence, tokens: ids }]);
    seconds += (performance.now() - start) / 1000;
    tokens += ids.length;
  }
  const after = counts();
  const [hits, misses, ahead, bytesRead] = ['hits', 'misses', 'ahead', 'bytesRead'].map((key) => after[key] - before[key]);
  console.log(`${what}: ${(tokens / seconds).toFixed(2)} tok/s; parts found ${hits}, waited for ${misses} (hit rate ${((100 * hits) / (hits + misses)).toFixed(0)} %), read ahead ${ahead}; ${gigabytes(bytesRead / tokens)} read per token, ${gigabytes(bytesRead / seconds)}/s; peak ${gigabytes(peak())}`);
}
const vocabulary = model.vocabularySize;
const ids = Array.from({ length: Number(options.prompt) }, (_, i) => (i * 7919 + 11) % vocabulary);
await timed(`prefill of ${ids.length}`, [() => ids]);
const decode = Array.from({ length: Number(options.tokens) }, () => () => [(sequence.length * 104729 + 17) % vocabulary]);
for (let round = 0; round < 2; round++) await timed(`decode of ${decode.length}`, decode);
await model.dispose();
process.exit(0);
