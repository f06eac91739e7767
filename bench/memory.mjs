// The most memory that a process ever has, after loading and after a prompt with a few decoded tokens,
// beside what weights and cache take. Every case runs in a process of its own; files are made up in a
// published shape, once. Linux (VmHWM of /proc/self/status).
//
//   node bench/memory.mjs <folder> [--model qwen3-0.6b] [--prompts 128,512] [--threads n]

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fileURLToPath } from 'node:url';
import { fromDist } from './peers/dist.mjs';
import { writeSyntheticCheckpoint, writeSyntheticGguf } from './peers/synthetic-gguf.mjs';

const { values: options, positionals: [folder] } = parseArgs({
  allowPositionals: true,
  options: { model: { type: 'string', default: 'qwen3-0.6b' }, prompts: { type: 'string', default: '128,512' }, threads: { type: 'string' }, run: { type: 'string' } },
});
if (!folder) throw new Error('usage: node bench/memory.mjs <folder> [options]');
const DECODED = 8;
/** What the project allows beside weights and cache. */
const BESIDE = 300e6;

if (options.run) {
  const { source, weights, prompt } = JSON.parse(options.run);
  const { loadModel } = await fromDist('index.js');
  const peak = () => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
  const model = await loadModel(source, { backend: 'wasm', weights, threads: options.threads && Number(options.threads), contextLength: prompt + DECODED });
  const loaded = peak();
  const ids = Array.from({ length: prompt }, (_, i) => (i * 7919 + 11) % model.vocabularySize);
  for await (const piece of model.generate(ids, { maxTokens: DECODED, temperature: 0, ignoreEos: true })) void piece;
  const { weights: weightBytes, kv } = model.engine.residency;
  console.log(JSON.stringify({ loaded, used: peak(), weights: weightBytes, kv }));
  process.exit(0);
}

const { findPublished } = await fromDist('models/published.js');
const { config } = findPublished(options.model);
const [gguf, checkpoint] = [join(folder, `${options.model}-q8_0.gguf`), join(folder, `${options.model}-bf16`)];
if (!existsSync(gguf)) await writeSyntheticGguf(gguf, config, options.model, 'q8_0');
if (!existsSync(join(checkpoint, 'model.safetensors'))) await writeSyntheticCheckpoint(checkpoint, config, 'bf16');

const cases = [
  { name: 'Q8_0 GGUF', source: gguf, weights: 'stored' },
  { name: 'bf16 safetensors', source: checkpoint, weights: 'stored' },
  { name: "bf16 safetensors, weights: 'q8_0'", source: checkpoint, weights: 'q8_0' },
];
const megabytes = (bytes) => (bytes / 1e6).toFixed(0);
console.log(`${options.model}, Node ${process.version}; MB\n| | prompt | weights | cache | after loading | at most | beside weights and cache |\n| --- | --- | --- | --- | --- | --- | --- |`);
for (const { name, ...rest } of cases) for (const prompt of options.prompts.split(',').map(Number)) {
  const args = [fileURLToPath(import.meta.url), folder, '--run', JSON.stringify({ ...rest, prompt }), ...(options.threads ? ['--threads', options.threads] : [])];
  const { loaded, used, weights, kv } = JSON.parse(execFileSync(process.execPath, args));
  const beside = used - weights - kv;
  console.log(`| ${[name, prompt, ...[weights, kv, loaded, used].map(megabytes), `${megabytes(beside)}${beside > BESIDE ? ', too much' : ''}`].join(' | ')} |`);
}
