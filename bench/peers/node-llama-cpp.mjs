// Lamella and node-llama-cpp on the same GGUF file of made-up weights, by turns: ours, theirs, ours, … so
// that whatever else the machine does hits both. Each has a process of its own that stays loaded and
// idle while the other runs. A table on stderr, everything on stdout as JSON. See ../README.md.
//
//   node bench/peers/node-llama-cpp.mjs FOLDER [--model qwen3-0.6b] [--layers N] [--weights q8_0] [--threads N]
//                                              [--prompt 512] [--generate 64] [--pairs 5] [--file model.gguf]
//
// FOLDER is where `npm install node-llama-cpp` was run. --file keeps the GGUF file, or uses the one there.

import { fork } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromDist } from './dist.mjs';
import { writeSyntheticGguf } from './synthetic-gguf.mjs';

const { values: options, positionals: [folder] } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string', default: 'qwen3-0.6b' }, layers: { type: 'string' }, weights: { type: 'string', default: 'q8_0' }, threads: { type: 'string', default: String(availableParallelism()) },
    prompt: { type: 'string', default: '512' }, generate: { type: 'string', default: '64' }, pairs: { type: 'string', default: '5' }, file: { type: 'string' },
  },
});
const fail = (message) => { console.error(message); process.exit(2); };
const count = (name) => {
  const value = Number(options[name]);
  return Number.isInteger(value) && value > 0 ? value : fail(`--${name} takes a whole number of at least 1, got ${options[name]}`);
};
if (!folder) fail('give the folder in which node-llama-cpp is installed');
const manifest = join(folder, 'node_modules/node-llama-cpp/package.json');
if (!existsSync(manifest)) fail(`${folder} has no node_modules/node-llama-cpp: run npm install node-llama-cpp in it`);
const [threads, prompt, generate, pairs] = ['threads', 'prompt', 'generate', 'pairs'].map(count);

/** The file that both read, and the size of its vocabulary. */
async function prepare() {
  const { findPublished } = await fromDist('models/published.js');
  const { withLayers } = await fromDist('cli/bench.js');
  const release = findPublished(options.model) ?? fail(`no published release is called ${options.model}`);
  const { config, layers } = withLayers(release.config, options.layers && count('layers'));
  const file = options.file ?? join(tmpdir(), `lamella-peers-${process.pid}.gguf`);
  if (!options.file) process.on('exit', () => rmSync(file, { force: true }));
  if (!existsSync(file)) {
    console.error(`writing ${release.name} with ${layers.run} of ${layers.published} layers in ${options.weights} to ${file}`);
    await writeSyntheticGguf(file, config, release.name, options.weights);
  }
  return { file, layers, model: release.name, vocabulary: (config.text_config ?? config).vocab_size };
}

/** A child that answers every message with the figures of one run. */
async function start(script, settings) {
  const child = fork(fileURLToPath(new URL(script, import.meta.url)), [JSON.stringify(settings)], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const answer = () => new Promise((resolve, reject) => {
    const ended = (code) => reject(new Error(`${script} ended with exit code ${code}`));
    child.once('exit', ended);
    child.once('message', (message) => { child.off('exit', ended); resolve(message); });
  });
  const loaded = await answer();
  return { loaded, run: () => { const figures = answer(); child.send('run'); return figures; }, end: () => child.disconnect() };
}

function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return { median: sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2, least: sorted[0], most: sorted.at(-1) };
}

/** Medians of each side, and of the ratio within each pair: what slows a minute down cancels there. */
function summary(runs, kind) {
  return { ours: spread(runs.map(({ ours }) => ours[kind])), theirs: spread(runs.map(({ theirs }) => theirs[kind])), ratio: spread(runs.map(({ ours, theirs }) => ours[kind] / theirs[kind])) };
}

function printTable(results) {
  const cell = ({ median, least, most }, digits) => `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
  const rows = [['tok/s', 'lamella', 'node-llama-cpp', 'ratio'], ...['prefill', 'decode'].map((kind) => [kind, cell(results[kind].ours, 1), cell(results[kind].theirs, 1), cell(results[kind].ratio, 2)])];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) console.error(row.map((text, column) => text.padEnd(widths[column])).join('  ').trimEnd());
}

process.on('SIGINT', () => process.exit(130));
// llama.cpp's threads wait for each other in loops: one that has to share its core stops all of them.
const [load] = loadavg();
if (load + threads > availableParallelism() + 0.5) console.error(`warning: the machine is busy (load ${load.toFixed(1)} on ${availableParallelism()} cores): these figures will say nothing`);
const { file, layers, model, vocabulary } = await prepare();
const settings = { folder, file, threads, prompt, generate, vocabulary };
const [ours, theirs] = [await start('ours.mjs', settings), await start('theirs.mjs', settings)];
// The first run of each compiles, faults pages in, and does not count.
await ours.run();
await theirs.run();
const runs = [];
while (runs.length < pairs) {
  runs.push({ ours: await ours.run(), theirs: await theirs.run() });
  console.error(`pair ${runs.length} of ${pairs}`);
}
const results = { prefill: summary(runs, 'prefill'), decode: summary(runs, 'decode') };
printTable(results);
console.log(JSON.stringify({
  model, layers, weights: options.weights, fileBytes: statSync(file).size, threads, promptTokens: prompt, generatedTokens: generate,
  versions: { node: process.version, nodeLlamaCpp: JSON.parse(readFileSync(manifest, 'utf8')).version, llamaCpp: theirs.loaded.llamaCpp },
  machine: { cpu: cpus()[0]?.model.trim(), cores: availableParallelism(), loadBefore: load },
  loadMs: { ours: ours.loaded.loadMs, theirs: theirs.loaded.loadMs }, ...results, runs,
}, null, 2));
for (const side of [ours, theirs]) side.end();
