// Where a decode step on the GPU spends its time, against what reading the weights alone would take.
// Made-up weights of a published shape; run it on a built package. With fewer layers or experts (of which a
// step reads as many) large shapes load sooner.
//
// `--apart`: every call in dispatches of its own, none in chains.
//
//   node bench/webgpu-step.mjs [--shape 0.6b|8b|30b-a3b|deepseek-v3|...] [--format f16] [--layers n] [--experts n] [--tokens 64] [--prompt 512] [--sequences 1,32] [--kv f32]
//     [--contexts 512,8192,32768] [--profile] [--profile-prefill] [--apart] [--toggles disable_robustness] [--dist ../dist]

import { parseArgs } from 'node:util';
import { publishedShape } from './published-shape.mjs';
import { openDevice } from './webgpu-device.mjs';

const { values: options } = parseArgs({
  options: {
    shape: { type: 'string', default: '0.6b' }, format: { type: 'string', default: 'f16' }, layers: { type: 'string' }, experts: { type: 'string' }, tokens: { type: 'string', default: '64' },
    prompt: { type: 'string', default: '512' }, sequences: { type: 'string', default: '1' }, kv: { type: 'string', default: 'f32' }, contexts: { type: 'string' }, runs: { type: 'string', default: '3' }, profile: { type: 'boolean', default: false }, 'profile-prefill': { type: 'boolean', default: false },
    toggles: { type: 'string', default: '' }, apart: { type: 'boolean', default: false }, dist: { type: 'string', default: '../dist' },
  },
});
const from = (file) => import(new URL(`${options.dist}/${file}`, import.meta.url).href);
const { syntheticEngine, syntheticSpec } = await from('engine/synthetic.js');
const { buildModel } = await from('models/index.js');
const { parameters } = await from('nn/index.js');
const { benchmark } = await from('generate/benchmark.js');
const { byteLength } = await from('tensor/index.js');

const { findPublished } = await from('models/published.js');
const published = publishedShape(findPublished, options.shape);
const expertKey = ['num_experts', 'n_routed_experts'].find((key) => key in published);
const contexts = options.contexts?.split(',').map(Number) ?? [];
// Published shapes with pictures keep what describes their text apart.
const longer = (text) => ({ ...text, max_position_embeddings: Math.max(text.max_position_embeddings ?? 0, ...contexts.map((length) => length + 1024)) });
const config = {
  ...(contexts.length === 0 ? published : published.text_config ? { ...published, text_config: longer(published.text_config) } : longer(published)),
  ...(options.layers && { num_hidden_layers: Number(options.layers) }), ...(options.experts && { [expertKey]: Number(options.experts) }),
};

const { adapter, gpu, backend, device, timed, timePasses, bandwidth } = await openDevice(from, options.toggles.split(',').filter(Boolean));
if (options.apart) gpu.capabilities = { ...gpu.capabilities, together: undefined };
const { GPUBufferUsage, GPUMapMode } = globalThis;
console.log(`${adapter.info.description || adapter.info.device}, features in use: ${[...device.features].join(' ')}`);
console.log(`workgroups that run together: ${JSON.stringify(gpu.capabilities.together)}`);

const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

/** Each dispatch of the recorded step in a pass of its own, in order, so that caches are as in a step. */
async function profile(plan) {
  const prepared = plan.parts.flatMap((part) => part.prepared);
  const entries = plan.parts.flatMap((part) => part.entries.flatMap((entry) => (entry.pipelines ?? []).map(() => entry)));
  const passes = prepared.map(({ pipeline, bindings, x, y }) => (pass) => {
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(x, y);
  });
  const whole = [];
  for (let i = 0; i < 7; i++) whole.push(...await timePasses([(pass) => { for (const encode of passes) encode(pass); }]));
  const totals = new Map();
  for (let first = 0; first < passes.length; first += 1000) {
    const runs = [];
    for (let i = 0; i < 5; i++) runs.push(await timePasses(passes.slice(first, first + 1000)));
    runs[0].forEach((_, i) => {
      const { call } = entries[first + i];
      const name = `${prepared[first + i].pipeline.pipeline.label} (${call.inputs.slice(0, 2).map((o) => o.spec.shape.join('x')).join(', ')})`;
      const entry = totals.get(name) ?? { count: 0, ms: 0 };
      totals.set(name, { count: entry.count + 1, ms: entry.ms + median(runs.map((run) => run[i])) });
    });
  }
  console.log(`  the step on the GPU: ${median(whole).toFixed(3)} ms in one pass of ${passes.length} dispatches; each in a pass of its own:`);
  printTotals(totals);
}

function printTotals(totals, rows = 16) {
  for (const [name, { count, ms }] of [...totals].sort((a, b) => b[1].ms - a[1].ms).slice(0, rows)) {
    console.log(`  ${name.padEnd(58)} ${String(count).padStart(4)} x ${((1000 * ms) / count).toFixed(1).padStart(7)} us = ${ms.toFixed(3)} ms`);
  }
}

/** Every dispatch of one prefill in a pass of its own between timestamps, while it runs. */
async function profilePrefill() {
  const most = 2048;
  const queries = device.createQuerySet({ type: 'timestamp', count: 2 * most });
  const names = [];
  const { stream } = backend;
  const [append, encode] = [backend.append, stream.encode];
  let current;
  backend.append = function (call) { current = call; append.call(this, call); };
  stream.encode = function ({ pipeline, bindings, x, y }) {
    if (names.length === most) return;
    this.encoder ??= device.createCommandEncoder();
    const at = 2 * names.length;
    const pass = this.encoder.beginComputePass({ timestampWrites: { querySet: queries, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 } });
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, bindings);
    pass.dispatchWorkgroups(x, y);
    pass.end();
    names.push(`${pipeline.pipeline.label} (${current.inputs.slice(0, 2).map((o) => o.spec.shape.join('x')).join(', ')})`);
  };
  const sequence = engine.runner.sequence();
  await engine.runner.step([{ sequence, tokens: Array.from({ length: Number(options.prompt) }, (_, i) => i % 1000), logits: 'last' }]);
  sequence.dispose();
  [backend.append, stream.encode] = [append, encode];
  const size = 16 * names.length;
  const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
  const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
  const encoder = device.createCommandEncoder();
  encoder.resolveQuerySet(queries, 0, 2 * names.length, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
  const totals = new Map();
  names.forEach((name, i) => {
    const { count, ms } = totals.get(name) ?? { count: 0, ms: 0 };
    totals.set(name, { count: count + 1, ms: ms + Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6 });
  });
  console.log(`  a prefill of ${options.prompt} on the GPU: ${(Number(stamps[2 * names.length - 1] - stamps[0]) / 1e6).toFixed(3)} ms from first to last, ${[...totals.values()].reduce((sum, { ms }) => sum + ms, 0).toFixed(3)} ms in ${names.length} dispatches:`);
  printTotals(totals, 24);
}

/** Adds up where the calling thread is, by wrapping what a step calls. */
function watch(target, method, times) {
  const inner = target[method];
  target[method] = function (...args) {
    const start = performance.now();
    const done = () => { times[method] = (times[method] ?? 0) + performance.now() - start; };
    const result = inner.apply(this, args);
    if (result instanceof Promise) return result.finally(done);
    done();
    return result;
  };
}

const { decoder } = buildModel(config);
const embedding = config.tie_word_embeddings ? 0 : config.vocab_size * config.hidden_size;
// A step reads every matrix once, but of an embedding table of its own one row, and of the experts the chosen.
const stepBytes = parameters(decoder).reduce((sum, parameter) => {
  const spec = syntheticSpec(parameter, options.format);
  const chosen = spec.shape.length === 3 && expertKey ? config.num_experts_per_tok / config[expertKey] : 1;
  return sum + byteLength(spec) * chosen;
}, 0) - (embedding ? byteLength({ shape: [config.vocab_size, config.hidden_size], dtype: options.format }) : 0);

const read = timed ? await bandwidth() : NaN;
const engine = await syntheticEngine(config, backend, options.format, { kv: options.kv });
const run = (sequences, tokens = Number(options.tokens)) => benchmark(engine.runner, { prompt: Number(options.prompt), generate: tokens, sequences });
const times = {};
const limit = read / stepBytes;
for (const sequences of options.sequences.split(',').map(Number)) {
  await run(sequences, 4);
  const results = [];
  for (let i = 0; i < Number(options.runs); i++) results.push(await run(sequences));
  const decode = Math.max(...results.map((r) => r.decode));
  console.log(`${options.shape}${options.layers ? ` of ${options.layers} layers` : ''} ${options.format}, ${sequences} sequence(s): decode ${results.map((r) => r.decode.toFixed(1)).join(', ')} tok/s, prefill of ${options.prompt}: ${results.map((r) => r.prefill.toFixed(0)).join(', ')} tok/s; `
    + `a step of one reads ${(stepBytes / 1e9).toFixed(2)} GB, ${(read / 1e9).toFixed(0)} GB/s measured, limit ${limit.toFixed(0)} steps/s, reached ${((100 * decode) / sequences / limit).toFixed(0)} %`);
}
if (options['profile-prefill'] && timed) await profilePrefill();
if (options.profile) {
  for (const method of ['write', 'read']) watch(backend, method, times);
  watch(backend.stream, 'submit', times);
  for (const { plan } of engine.runner.samplingPlans.values()) watch(plan, 'replay', times);
  const before = engine.runner.counts.replays;
  await run(1);
  const steps = engine.runner.counts.replays - before;
  console.log(`  the calling thread, prefill included, per step of ${steps}: ${Object.entries(times).map(([name, ms]) => `${name} ${(ms / steps).toFixed(3)} ms`).join(', ')}`);
  if (timed) for (const { plan } of engine.runner.samplingPlans.values()) await profile(plan);
}
/** Tokens per second behind `length` tokens whose keys and values are zeros: the work is that of any others. */
async function behind(length) {
  const { runner } = engine;
  const sequence = runner.sequence();
  runner.kv.groups.forEach((group, i) => group.extend(sequence.lists[i], 0, length));
  // New pages hold what their memory held before, which need not be numbers. Where stores grew, old pages were copied.
  backend.flush();
  const encoder = device.createCommandEncoder();
  for (const store of runner.kv.groups.flatMap((group) => [...group.stores.values()])) {
    for (const tensor of [store.k, store.v]) if (tensor) encoder.clearBuffer(backend.memory(backend.slot(tensor.storage.id)).buffer);
  }
  device.queue.submit([encoder.finish()]);
  for (let i = 0; i < length; i++) sequence.tokens.push(1);
  sequence.cached = length;
  const draw = async (limit) => {
    const draws = runner.draw([{ sequence, token: 1, limit }]);
    while (await draws.next());
  };
  await draw(4);
  const start = performance.now();
  await draw(32);
  const rate = 32_000 / (performance.now() - start);
  sequence.dispose();
  return rate;
}
for (const length of contexts) console.log(`  decode behind ${length} tokens: ${(await behind(length)).toFixed(1)} tok/s`);
engine.dispose();
process.exit(0);
