// Lamella and node-llama-cpp on the same GGUF file of made-up weights, by turns. Each has a process of
// its own that stays loaded and idle while the other runs. A table on stderr, everything on stdout as
// JSON. See ../README.md.
//
//   node bench/peers/node-llama-cpp.mjs FOLDER [--model qwen3-0.6b] [--layers N] [--weights q8_0] [--threads N]
//                                              [--prompt 512] [--generate 64] [--pairs 5] [--file model.gguf]
//                                              [--revectorize]
//
// FOLDER is where `npm install node-llama-cpp` was run. --file keeps the GGUF file, or uses the one there.

import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { manifestOf, prepare, race, readOptions, report, settingsOf, warnIfBusy } from './race.mjs';

const options = readOptions();
const manifest = manifestOf(options.folder, 'node-llama-cpp');

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

process.on('SIGINT', () => process.exit(130));
const machine = warnIfBusy(options.threads);
const prepared = await prepare(options);
const { folder, threads, prompt, generate, revectorize } = options;
const settings = { folder, file: prepared.file, threads, prompt, generate, revectorize, vocabulary: prepared.vocabulary };
const [ours, theirs] = [await start('ours.mjs', settings), await start('theirs.mjs', settings)];
const results = await race(ours, theirs, options.pairs);
report('node-llama-cpp', results, {
  ...settingsOf(options, prepared),
  versions: { node: process.version, nodeLlamaCpp: JSON.parse(readFileSync(manifest, 'utf8')).version, llamaCpp: theirs.loaded.llamaCpp },
  machine, loadMs: { ours: ours.loaded.loadMs, theirs: theirs.loaded.loadMs },
});
for (const side of [ours, theirs]) side.end();
