// Whether llama.cpp (node-llama-cpp) computes what Lamella computes, on the same GGUF file: greedy
// tokens, and the likeliest tokens' log probabilities at every position of the prompt and of our
// continuation. A table on stderr, everything as JSON on stdout, exit code 1 where they disagree.
//
//   node bench/peers/llama-oracle.mjs FOLDER MODEL [--format f32] [--weights stored] [--backend wasm] [--threads N]
//                                     [--chat TEXT | --prompt TEXT | --ids 1,2,3] [--tokens 50] [--top 10] [--tolerance 0.1]
//
// FOLDER is where `npm install node-llama-cpp` was run. MODEL is a .gguf file, taken as it is unless
// --format is given, or a checkpoint's folder, which is written as GGUF in --format (f32) first, with
// a made-up vocabulary where it has no tokenizer. --weights is what Lamella holds matrices in.
//
// They agree when every compared log probability differs by at most --tolerance, and the greedy
// tokens are equal up to a place where, by our own logits, theirs is less likely than ours by no more
// than that. Behind such a place the texts are different ones and nothing more is compared.

import { fork } from 'node:child_process';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { fromDist } from './dist.mjs';
import { madeUpTokenizer, writeFiles } from './synthetic-gguf.mjs';

const { values: options, positionals: [folder, model] } = parseArgs({
  allowPositionals: true,
  options: {
    format: { type: 'string' }, weights: { type: 'string', default: 'stored' }, backend: { type: 'string', default: 'wasm' }, threads: { type: 'string', default: String(availableParallelism()) },
    chat: { type: 'string' }, prompt: { type: 'string' }, ids: { type: 'string' }, tokens: { type: 'string', default: '50' }, top: { type: 'string', default: '10' }, tolerance: { type: 'string', default: '0.1' },
  },
});
const fail = (message) => { console.error(message); process.exit(2); };
if (!folder || !model) fail('give the folder in which node-llama-cpp is installed, and a .gguf file or a checkpoint folder');
const manifest = join(folder, 'node_modules/node-llama-cpp/package.json');
if (!existsSync(manifest)) fail(`${folder} has no node_modules/node-llama-cpp: run npm install node-llama-cpp in it`);
const [threads, tokens, top, tolerance] = ['threads', 'tokens', 'top', 'tolerance'].map((name) => (Number(options[name]) > 0 ? Number(options[name]) : fail(`--${name} takes a number above 0`)));
process.on('SIGINT', () => process.exit(130));

/** The GGUF file that both read. */
async function fileOf() {
  const given = /\.gguf$/i.test(model);
  if (given && !options.format) return model;
  const { convertToGguf, openCheckpoint, resolveSource } = await fromDist('checkpoint/index.js');
  const { ggufTokenizerMetadata } = await fromDist('tokenizer/index.js');
  const { textFiles } = await fromDist('tokenizer/source.js');
  const checkpoint = await openCheckpoint(await resolveSource(model));
  const path = join(tmpdir(), `lamella-oracle-${process.pid}.gguf`);
  process.on('exit', () => rmSync(path, { force: true }));
  try {
    const rows = checkpoint.config.vocab_size ?? checkpoint.config.text_config?.vocab_size;
    const tokenizer = await ggufTokenizerMetadata(textFiles(checkpoint.directory), rows) ?? madeUpTokenizer(rows);
    await writeFiles(tmpdir(), [[basename(path), convertToGguf(checkpoint, { format: options.format ?? 'f32', tokenizer }).stream]]);
  } finally {
    await checkpoint.close();
  }
  return path;
}

/** Token ids of the prompt; a text goes with them where there is one, for the other's tokenizer. */
function promptOf(loaded) {
  if (options.ids) return { ids: options.ids.split(',').map(Number) };
  if (options.prompt) return { ids: loaded.encode(options.prompt), text: options.prompt };
  if (!options.chat) return { ids: Array.from({ length: 24 }, (_, i) => (i * 7919 + 11) % loaded.vocabularySize) };
  const messages = [{ role: 'user', content: options.chat }];
  return { ids: loaded.encode(messages), text: loaded.tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true }), chat: true };
}

function logSoftmax(logits) {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x - largest), 0));
  return Array.from(logits, (x) => x - largest - total);
}

/** Ids of the likeliest tokens, likeliest first. */
function likeliest(values, count) {
  return [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, count);
}

async function ours(file) {
  const { loadModel } = await fromDist('index.js');
  const warnings = [];
  const loaded = await loadModel(file, { backend: options.backend, weights: options.weights, threads, onWarning: (text) => warnings.push(text) });
  const prompt = promptOf(loaded);
  const greedy = [];
  for await (const { token } of loaded.generate(prompt.ids, { maxTokens: tokens, temperature: 0, repetitionPenalty: 1, ignoreEos: true })) greedy.push(token);
  const end = greedy.findIndex((token) => loaded.endTokens.has(token));
  const { data, shape: [, vocabulary] } = await loaded.logits([...prompt.ids, ...greedy]);
  const rows = Array.from({ length: data.length / vocabulary }, (_, i) => logSoftmax(data.subarray(i * vocabulary, (i + 1) * vocabulary)));
  const text = loaded.tokenizer?.decode(end < 0 ? greedy : greedy.slice(0, end), { skipSpecialTokens: true });
  const spell = (token) => loaded.tokenizer?.decode([token], { skipSpecialTokens: false });
  return { loaded, prompt, greedy, rows, text, ended: end >= 0, spell, warnings };
}

function ask(settings) {
  const child = fork(fileURLToPath(new URL('llama-oracle-peer.mjs', import.meta.url)), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], serialization: 'advanced' });
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`node-llama-cpp ended with exit code ${code} before it answered: it does not take this file`)));
    child.once('message', (answer) => { resolve(answer); child.disconnect(); });
    child.send(settings);
  });
}

/** Differences of log probabilities, at one position: of our likeliest token, and of all that either side finds likely. */
function compareRow(row, [likeliest], { logprobs, first }) {
  const compared = [...logprobs].map(([token, logprob]) => Math.abs(row[token] - logprob));
  return { largest: Math.max(...compared), ofLikeliest: Math.abs(row[likeliest] - logprobs.get(likeliest)), sameFirst: likeliest === first };
}

const medianAndMost = (values) => ({ median: values.toSorted((a, b) => a - b)[values.length >> 1], most: Math.max(...values), mostAt: values.indexOf(Math.max(...values)) });

const file = await fileOf();
const mine = await ours(file);
const wanted = mine.rows.map((row) => likeliest(row, top));
const theirs = await ask({ folder, file, threads, top, tokens, ids: mine.prompt.ids, text: mine.prompt.text, chat: mine.prompt.chat, greedy: mine.greedy, wanted });
await mine.loaded.dispose();

const compared = mine.rows.map((row, i) => compareRow(row, wanted[i], theirs.rows[i]));
const [ofLikely, ofLikeliest] = ['largest', 'ofLikeliest'].map((kind) => medianAndMost(compared.map((each) => each[kind])));
const at = mine.greedy.findIndex((token, i) => token !== theirs.greedy[i]);
const row = at < 0 ? undefined : mine.rows[mine.prompt.ids.length - 1 + at];
const first = row && { at, ours: mine.greedy[at], theirs: theirs.greedy[at], texts: [mine.greedy[at], theirs.greedy[at]].map(mine.spell), margin: row[mine.greedy[at]] - row[theirs.greedy[at]] };
const agree = ofLikely.most <= tolerance && (!first || first.margin <= tolerance);
const report = {
  model, fileBytes: statSync(file).size, format: options.format ?? (file === model ? 'as given' : 'f32'), weights: options.weights, backend: options.backend, warnings: mine.warnings,
  versions: { node: process.version, nodeLlamaCpp: JSON.parse(readFileSync(manifest, 'utf8')).version, llamaCpp: theirs.llamaCpp },
  prompt: { tokens: mine.prompt.ids.length, sameTokens: theirs.sameTokens }, text: mine.text, ended: mine.ended,
  greedy: { compared: tokens, equal: at < 0 ? tokens : at, ...(first && { firstDifference: first }) },
  logprobs: { positions: compared.length, top, ofLikely, ofLikeliest, sameLikeliest: compared.filter(({ sameFirst }) => sameFirst).length },
  tolerance, agree,
};
const sentence = first
  ? `${report.greedy.equal} of ${tokens} greedy tokens, then ${JSON.stringify(first.texts[0] ?? first.ours)} here and ${JSON.stringify(first.texts[1] ?? first.theirs)} there, ${first.margin.toFixed(4)} nats less likely by our logits`
  : `all ${tokens} greedy tokens equal`;
const span = ({ median, most }) => `${median.toExponential(1)} (at most ${most.toExponential(1)})`;
console.error(`${model} (${report.format}, held as ${options.weights}): ${sentence}; log probabilities at ${compared.length} positions differ by ${span(ofLikeliest)} for the likeliest token and ${span(ofLikely)} for any of the ${top} likeliest; `
  + `same likeliest token at ${report.logprobs.sameLikeliest}: ${agree ? 'they agree' : 'they DISAGREE'} within ${tolerance}`);
console.log(JSON.stringify(report, null, 2));
process.exitCode = agree ? 0 : 1;
