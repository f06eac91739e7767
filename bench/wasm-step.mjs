// How fast a Qwen3-0.6B-shaped model of made-up Q8_0 weights decodes on this machine, against what
// the memory could give, and where the time goes. Run it on a built package.
//
//   node bench/wasm-step.mjs [--threads 1,2] [--layers 28] [--tokens 48] [--prompt 64] [--sequences 1] [--profile] [--format q8_0] [--memory64] [--dist ../dist]

import { parseArgs } from 'node:util';
import { Worker } from 'node:worker_threads';
import { main as compile } from 'assemblyscript/asc';

const { values: options } = parseArgs({
  options: {
    threads: { type: 'string', default: '1,2' }, layers: { type: 'string', default: '28' }, tokens: { type: 'string', default: '48' },
    prompt: { type: 'string', default: '64' }, sequences: { type: 'string', default: '1' }, profile: { type: 'boolean', default: false }, format: { type: 'string', default: 'q8_0' }, memory64: { type: 'boolean', default: false }, dist: { type: 'string', default: '../dist' },
  },
});
const from = (file) => import(new URL(`${options.dist}/${file}`, import.meta.url).href);
const { createBackend } = await from('backends/wasm/index.js');
const { Engine } = await from('engine/index.js');
const { syntheticWeight } = await from('engine/synthetic.js');
const { benchmark } = await from('generate/benchmark.js');
const { Kernel, RECORD_BYTES, WORD_NUMBERS } = await from('backends/wasm/abi.js');
const { byteLength } = await from('tensor/index.js');

const CONFIG = {
  model_type: 'qwen3', vocab_size: 151936, hidden_size: 1024, intermediate_size: 3072, num_hidden_layers: Number(options.layers), num_attention_heads: 16,
  num_key_value_heads: 8, head_dim: 128, hidden_act: 'silu', max_position_embeddings: 1024, rms_norm_eps: 1e-6, rope_theta: 1e6, tie_word_embeddings: true,
};

/** Bytes per second that `count` threads read together: the best of several passes over 256 MiB each. */
async function bandwidth(count) {
  const text = `export function read(p: usize, n: usize): i32 {
    let a = i32x4.splat(0), b = a, c = a, d = a;
    for (const end = p + n; p < end; p += 64) { a = v128.or(a, v128.load(p)); b = v128.or(b, v128.load(p, 16)); c = v128.or(c, v128.load(p, 32)); d = v128.or(d, v128.load(p, 48)); }
    return i32x4.extract_lane(v128.or(v128.or(a, b), v128.or(c, d)), 0); }`;
  let binary;
  await compile(['read.ts', '--outFile', 'read.wasm', '-O3', '--runtime', 'stub', '--enable', 'simd'], {
    readFile: (name) => (name === 'read.ts' ? text : null), writeFile: (_name, bytes) => { binary = bytes; }, listFiles: () => [],
  });
  const source = `const { parentPort, workerData } = require('node:worker_threads');
    const { read, memory } = new WebAssembly.Instance(new WebAssembly.Module(workerData)).exports;
    memory.grow(4097); new Uint8Array(memory.buffer).fill(1);
    parentPort.on('message', (passes) => { for (let i = 0; i < passes; i++) read(65536, 2 ** 28); parentPort.postMessage(0); });`;
  const workers = Array.from({ length: count }, () => new Worker(source, { eval: true, workerData: binary }));
  const pass = (n) => Promise.all(workers.map((worker) => new Promise((resolve) => { worker.once('message', resolve); worker.postMessage(n); })));
  await pass(2);
  let best = 0;
  for (let i = 0; i < 7; i++) {
    const start = performance.now();
    await pass(2);
    best = Math.max(best, (2 * count * 2 ** 28) / (performance.now() - start) * 1000);
  }
  for (const worker of workers) await worker.terminate();
  return best;
}

/** Runs every record of the recorded step alone, several times, and sums the medians by kernel. */
function profile(engine) {
  const { stream, heap } = engine.device.backend;
  const [{ plan }] = engine.runner.samplingPlans.values();
  const { records, count } = plan.job;
  const { address, scratch } = stream.region;
  const totals = new Map();
  for (let i = 0; i < count; i++) {
    const times = [];
    for (let pass = 0; pass < 7; pass++) {
      const start = performance.now();
      stream.executor.instance.exports.run(records + i * RECORD_BYTES, 1, stream.control, 0, 1, address, address + scratch);
      times.push(performance.now() - start);
    }
    const words = heap.words.subarray((records + i * RECORD_BYTES) / 4);
    const name = Kernel[words[0]] + (words[0] === Kernel.linear ? ` ${words[WORD_NUMBERS + 2]}x${words[WORD_NUMBERS + 1]}` : '');
    totals.set(name, (totals.get(name) ?? 0) + times.sort((a, b) => a - b)[3]);
  }
  const all = [...totals.values()].reduce((a, b) => a + b, 0);
  for (const [name, ms] of [...totals].sort((a, b) => b[1] - a[1])) console.log(`  ${name.padEnd(26)} ${ms.toFixed(3)} ms  ${((100 * ms) / all).toFixed(1)} %`);
}

for (const threads of options.threads.split(',').map(Number)) {
  const backend = await createBackend({ threads, workers: !options.profile, memory64: options.memory64 });
  let bytes = 0;
  const engine = Engine.create(CONFIG, backend, (parameter, device) => {
    const tensor = syntheticWeight(parameter, device, options.format);
    bytes += byteLength(tensor.spec);
    return tensor;
  });
  let barriers;
  const { record } = backend;
  backend.record = (...args) => { const plan = record.apply(backend, args); ({ barriers } = plan); return plan; };
  // Single steps, to tell what the machine can do from what it does while it is busy with other things.
  const { runner } = engine;
  const draw = runner.draw.bind(runner);
  const times = [];
  runner.draw = (requests) => {
    const draws = draw(requests);
    const next = draws.next.bind(draws);
    draws.next = async () => {
      const start = performance.now();
      const tokens = await next();
      if (tokens) times.push(performance.now() - start);
      return tokens;
    };
    return draws;
  };
  const run = () => benchmark(engine.runner, { prompt: Number(options.prompt), generate: Number(options.tokens), sequences: Number(options.sequences) });
  await run();
  times.length = 0;
  const before = await bandwidth(threads);
  const results = [];
  for (let i = 0; i < 3; i++) results.push(await run());
  const read = Math.max(before, await bandwidth(threads));
  times.sort((a, b) => a - b);
  const decode = 1000 / times[Math.floor(times.length / 10)];
  console.log(`${threads} threads: ${decode.toFixed(1)} tok/s in the fastest tenth of decode steps (runs: ${results.map((r) => r.decode.toFixed(1)).join(', ')}), ${Math.max(...results.map((r) => r.prefill)).toFixed(0)} tok/s prefill, `
    + `${((decode * bytes) / 1e9).toFixed(1)} of ${(read / 1e9).toFixed(1)} GB/s, ${barriers} barriers a step`);
  if (options.profile) profile(engine);
  engine.dispose();
}
process.exit(0);
