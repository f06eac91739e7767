// What loading a model costs beside a plain read of its file, by turns, each in a process of its own:
//   readFile  fs.readFile of the whole file, into a Buffer
//   into      one positioned read after another into a SharedArrayBuffer that nobody has touched
//   weights   the weights into a backend's memory, checked and ready for the first step (Engine.open)
//   load      loadModel: weights, config and tokenizer
// Starting Node and importing modules are not counted. Before every run the file is read once, so that it
// comes from the system's cache; with --cold (Linux, root) the cache is dropped instead.
//
//   node bench/load.mjs <file.gguf | directory> [--pairs 5] [--cold] [--threads n]

import { execFileSync } from 'node:child_process';
import { openSync, readFile, readSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import { fromDist } from './peers/dist.mjs';

const { values: options, positionals: [source] } = parseArgs({
  allowPositionals: true, options: { pairs: { type: 'string', default: '5' }, cold: { type: 'boolean', default: false }, threads: { type: 'string' }, only: { type: 'string' } },
});
if (!source) throw new Error('usage: node bench/load.mjs <file.gguf | directory> [options]');
const files = statSync(source).isDirectory() ? readdirSync(source).filter((name) => name.endsWith('.safetensors')).map((name) => join(source, name)) : [source];
const bytes = files.reduce((sum, file) => sum + statSync(file).size, 0);
const threads = options.threads && Number(options.threads);

const ways = {
  async readFile() {
    const read = promisify(readFile);
    return timed(async () => { for (const file of files) await read(file); });
  },
  async into() {
    return timed(async () => {
      const memory = new Uint8Array(new SharedArrayBuffer(bytes));
      let at = 0;
      for (const file of files) for (let [done, fd, { size }] = [0, openSync(file), statSync(file)]; done < size;) {
        const count = readSync(fd, memory, at, Math.min(size - done, 2 ** 30), done);
        done += count;
        at += count;
      }
    });
  },
  async weights() {
    const { openCheckpoint, resolveSource } = await fromDist('checkpoint/index.js');
    const { createBackend, Engine } = await fromDist('engine/index.js');
    return timed(async () => Engine.open(await openCheckpoint(await resolveSource(source)), await createBackend('wasm', { threads }), { contextLength: 4096 }));
  },
  async load() {
    const { loadModel } = await fromDist('index.js');
    return timed(() => loadModel(source, { backend: 'wasm', threads, contextLength: 4096 }));
  },
};

async function timed(run) {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

if (options.only) {
  console.log(await ways[options.only]());
  process.exit(0);
}

function child(way) {
  if (options.cold) writeFileSync('/proc/sys/vm/drop_caches', '1');
  const { cold: _, only: __, ...rest } = options;
  const args = Object.entries({ ...rest, only: way }).flatMap(([key, value]) => [`--${key}`, value]);
  return Number(execFileSync(process.execPath, [fileURLToPath(import.meta.url), source, ...args]));
}

const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]));
if (!options.cold) child('readFile');
for (let pair = 0; pair < Number(options.pairs); pair++) for (const way of Object.keys(ways)) times[way].push(child(way));
const sorted = (values) => [...values].sort((a, b) => a - b);
const text = (values, digits) => `${sorted(values)[Math.floor(values.length / 2)].toFixed(digits)} (${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)})`;
console.log(`${source}: ${(bytes / 1e6).toFixed(0)} MB, ${options.cold ? 'cold' : 'from the cache'}, Node ${process.version}, medians of ${options.pairs}, the fastest and slowest`);
for (const [way, list] of Object.entries(times)) {
  const ratios = ['readFile', 'into'].map((plain) => `${text(list.map((ms, i) => ms / times[plain][i]), 2)} of ${plain}`);
  console.log(`  ${way.padEnd(9)} ${text(list, 0)} ms${way === 'weights' || way === 'load' ? `; ${ratios.join(', ')}` : ''}`);
}
