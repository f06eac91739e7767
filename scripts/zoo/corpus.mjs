// Writes the stories that the zoo is trained on, told by a story model that this library runs, many in
// one step. A story is what the model tells from its first token to the mark that ends it; what has no
// end within the model's context is dropped, and so is a story that was told before.
//
//   node scripts/zoo/corpus.mjs --model <directory> --out zoo-run [--tokens 8000000] [--seconds 150]
//     [--processes 2] [--batch 1024] [--backend webgpu] [--threads 1] [--seed 1]
//
// Leaves train.txt, heldout.txt (every 50th story; no training sees it) and corpus.json. A story's
// random numbers follow from the seed and its number, whatever is told beside it.

import { fork } from 'node:child_process';
import { createReadStream, createWriteStream, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadModel } from '../../dist/index.js';
import { END_OF_TEXT } from '../../dist/tokenizer/index.js';

/** Below 1: a story goes astray less often, and what a small model learns from it is clearer. */
const TEMPERATURE = 0.8;
const HELD_OUT_EVERY = 50;
/** Stories of llama2.c end where the next begins: at token 1. */
const START = 1;

const OPTIONS = {
  model: { type: 'string' }, out: { type: 'string', default: 'zoo-run' }, tokens: { type: 'string', default: '8000000' }, seconds: { type: 'string', default: '150' },
  processes: { type: 'string', default: '2' }, batch: { type: 'string', default: '1024' }, backend: { type: 'string', default: 'webgpu' }, threads: { type: 'string', default: '1' },
  seed: { type: 'string', default: '1' },
};

/** Tells stories number `first`, `first + stride`, … until the tokens or the seconds are used up. */
async function* tell({ model, backend, threads, batch, tokens, seconds, seed, first, stride }) {
  const storyteller = await loadModel(model, { backend, threads });
  const started = performance.now();
  let told = 0;
  function* beginnings() {
    while (told < tokens && performance.now() - started < 1000 * seconds) yield [START];
  }
  try {
    // What a story says depends on the seed and its number alone; each process has a seed of its own.
    const stories = storyteller.generateBatch(beginnings(), { parallel: batch, temperature: TEMPERATURE, seed: seed * 1000 + first, stopTokens: [START, ...storyteller.endTokens] });
    for await (const { index, tokens: ids, finishReason } of stories) {
      told += ids.length;
      const text = finishReason === 'stop' ? storyteller.tokenizer.decode(ids.slice(0, -1), { skipSpecialTokens: true }).trim() : '';
      yield { number: first + index * stride, tokens: ids.length, text };
    }
  } finally {
    await storyteller.dispose();
  }
}

/** A process of its own: what it tells goes into a file, a line per story. */
async function shard(options) {
  const file = createWriteStream(options.file);
  for await (const story of tell(options)) file.write(`${JSON.stringify(story)}\n`);
  await new Promise((resolve) => { file.end(resolve); });
}

function startShard(options) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)], { env: { ...process.env, ZOO_SHARD: '1' } });
    child.on('error', reject);
    child.on('exit', (code, signal) => (code === 0 ? resolve() : reject(new Error(`a process that tells stories ended with ${signal ?? `code ${code}`}`))));
  });
}

/** Whole stories that were told once, in the order of their numbers. */
async function collect(files) {
  const stories = [];
  let told = 0;
  for (const file of files) for await (const line of createInterface({ input: createReadStream(file) })) {
    const story = JSON.parse(line);
    told++;
    if (story.text !== '') stories.push(story);
  }
  stories.sort((a, b) => a.number - b.number);
  const seen = new Set();
  const kept = stories.filter(({ text }) => !seen.has(text) && seen.add(text));
  return { told, whole: stories.length, kept };
}

/** Writes the corpus; returns its figures, which corpus.json holds too. */
export async function writeCorpus({ model, out, tokens, seconds, processes, batch, backend, threads, seed }) {
  mkdirSync(out, { recursive: true });
  const files = Array.from({ length: processes }, (_, i) => join(out, `shard-${i}.jsonl`));
  const started = performance.now();
  await Promise.all(files.map((file, first) => startShard({ model, backend, threads, batch, tokens: tokens / processes, seconds, seed, first, stride: processes, file })));
  const { told, whole, kept } = await collect(files);
  const parts = { train: kept.filter((_, i) => i % HELD_OUT_EVERY !== HELD_OUT_EVERY - 1), heldout: kept.filter((_, i) => i % HELD_OUT_EVERY === HELD_OUT_EVERY - 1) };
  for (const [name, stories] of Object.entries(parts)) writeFileSync(join(out, `${name}.txt`), stories.map(({ text }) => `${text}\n${END_OF_TEXT}\n`).join(''));
  for (const file of files) rmSync(file);
  const figures = {
    told, whole, kept: kept.length, train: parts.train.length, heldout: parts.heldout.length, storytellerTokens: kept.reduce((sum, story) => sum + story.tokens, 0),
    temperature: TEMPERATURE, seed, backend, processes, batch, seconds: Math.round((performance.now() - started) / 1000),
  };
  writeFileSync(join(out, 'corpus.json'), `${JSON.stringify(figures, null, 2)}\n`);
  return figures;
}

if (process.env.ZOO_SHARD) await shard(JSON.parse(process.argv[2]));
else if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: OPTIONS });
  if (!values.model) throw new Error('which model tells the stories? --model <directory>');
  const number = (key) => Number(values[key]);
  console.log(await writeCorpus({ ...values, tokens: number('tokens'), seconds: number('seconds'), processes: number('processes'), batch: number('batch'), threads: number('threads'), seed: number('seed') }));
}
