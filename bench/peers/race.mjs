// What races between this package and a peer share: the file of made-up weights that both read, runs by
// turns (ours, theirs, ours, …) so that whatever else the machine does hits both, and the summary.

import { existsSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fromDist } from './dist.mjs';
import { writeSyntheticGguf } from './synthetic-gguf.mjs';

export const fail = (message) => { console.error(message); process.exit(2); };

/** The command line of a race; `defaults` replaces the usual values. */
export function readOptions(defaults = {}) {
  const usual = { model: 'qwen3-0.6b', weights: 'q8_0', threads: String(availableParallelism()), prompt: '512', generate: '64', pairs: '5', ...defaults };
  const { values, positionals: [folder] } = parseArgs({
    allowPositionals: true,
    options: {
      ...Object.fromEntries(Object.entries(usual).map(([name, value]) => [name, { type: 'string', default: value }])),
      layers: { type: 'string' }, file: { type: 'string' }, revectorize: { type: 'boolean', default: false },
    },
  });
  const count = (name) => {
    const value = Number(values[name]);
    return Number.isInteger(value) && value > 0 ? value : fail(`--${name} takes a whole number of at least 1, got ${values[name]}`);
  };
  const numbers = Object.fromEntries(['threads', 'prompt', 'generate', 'pairs'].map((name) => [name, count(name)]));
  return { ...values, ...numbers, layers: values.layers && count('layers'), folder };
}

/** The manifest of a peer that is installed in a folder of its own. */
export function manifestOf(folder, name) {
  if (!folder) fail(`give the folder in which ${name} is installed`);
  const manifest = join(folder, 'node_modules', name, 'package.json');
  return existsSync(manifest) ? manifest : fail(`${folder} has no node_modules/${name}: run npm install ${name} in it`);
}

/** The file that both read, and the size of its vocabulary. */
export async function prepare(options) {
  const { findPublished } = await fromDist('models/published.js');
  const { withLayers } = await fromDist('cli/bench.js');
  const release = findPublished(options.model) ?? fail(`no published release is called ${options.model}`);
  const { config, layers } = withLayers(release.config, options.layers);
  const file = options.file ?? join(tmpdir(), `lamella-peers-${process.pid}.gguf`);
  if (!options.file) process.on('exit', () => rmSync(file, { force: true }));
  if (!existsSync(file)) {
    console.error(`writing ${release.name} with ${layers.run} of ${layers.published} layers in ${options.weights} to ${file}`);
    await writeSyntheticGguf(file, config, release.name, options.weights);
  }
  return { file, layers, model: release.name, vocabulary: (config.text_config ?? config).vocab_size };
}

/** llama.cpp's threads wait for each other in loops: one that has to share its core stops all of them. */
export function warnIfBusy(threads) {
  const [load] = loadavg();
  if (load + threads > availableParallelism() + 0.5) console.error(`warning: the machine is busy (load ${load.toFixed(1)} on ${availableParallelism()} cores): these figures will say nothing`);
  return { cpu: cpus()[0]?.model.trim(), cores: availableParallelism(), loadBefore: load };
}

/** Runs both by turns. The first run of each compiles, faults pages in, and does not count. */
export async function race(ours, theirs, pairs) {
  await ours.run();
  await theirs.run();
  const runs = [];
  while (runs.length < pairs) {
    runs.push({ ours: await ours.run(), theirs: await theirs.run() });
    console.error(`pair ${runs.length} of ${pairs}`);
  }
  return { prefill: summary(runs, 'prefill'), decode: summary(runs, 'decode'), runs };
}

/** Medians of each side, and of the ratio within each pair: what slows a minute down cancels there. */
function summary(runs, kind) {
  return { ours: spread(runs.map(({ ours }) => ours[kind])), theirs: spread(runs.map(({ theirs }) => theirs[kind])), ratio: spread(runs.map(({ ours, theirs }) => ours[kind] / theirs[kind])) };
}

function spread(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return { median: sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2, least: sorted[0], most: sorted.at(-1) };
}

/** The table on stderr, everything as JSON on stdout. */
export function report(peer, results, facts) {
  const cell = ({ median, least, most }, digits) => `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`;
  const rows = [['tok/s', 'lamella', peer, 'ratio'], ...['prefill', 'decode'].map((kind) => [kind, cell(results[kind].ours, 1), cell(results[kind].theirs, 1), cell(results[kind].ratio, 2)])];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  for (const row of rows) console.error(row.map((text, column) => text.padEnd(widths[column])).join('  ').trimEnd());
  console.log(JSON.stringify({ ...facts, ...results }, null, 2));
}

/** What of the settings belongs in the result. */
export const settingsOf = ({ weights, threads, prompt, generate, revectorize }, { model, layers, file }) => ({ model, layers, weights, revectorize, fileBytes: statSync(file).size, threads, promptTokens: prompt, generatedTokens: generate });
