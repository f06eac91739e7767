// What every claim's script does: make the experiments that are not made yet, keep each result as soon as
// it is there, and at the end tell and draw what they say. A claim is
//
//   name, about     its file's name, and what --help says
//   settings        { seeds, steps, context, batch, heldOut, lengths?, scores? }: see experiment.mjs
//   variants        ({ vocab, … settings }) => [{ name, config }]: the designs that it compares
//   make            (lab) => asks `lab` for experiments
//   summarise       (result) => what they say, in numbers
//   tell, figure    (result with its summary) => lines of text; an SVG

import { fileURLToPath } from 'node:url';
import { openCorpus } from './corpus.mjs';
import { Lab } from './lab.mjs';
import { readOptions, usage } from './options.mjs';
import { Queue, Stopped } from './queue.mjs';

/** Runs one claim as a command, where its script is what was started. */
export async function runClaim(claim, url) {
  if (process.argv[1] === fileURLToPath(url)) await command(`lab/${claim.name}.mjs`, claim.about, {}, async () => [claim]);
}

/** A script's whole life: `choose(options)` gives its claims. */
export async function command(path, about, extra, choose) {
  try {
    const options = readOptions(extra);
    if (options.help) return void console.log(usage(path, about, extra));
    await (options.draw ? drawClaims : makeClaims)(await choose(options), options);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

/** Makes several claims' experiments in one queue, the first claims' first. */
async function makeClaims(claims, options) {
  const corpus = await openCorpus(options.run, options.data);
  const { processes, lanes, backend, threads, seconds, run: folder } = options;
  const queue = new Queue({ processes, lanes, folder, backend, threads, seconds });
  process.once('SIGINT', () => queue.stop());
  const labs = claims.map((claim, priority) => new Lab(claim, { queue, corpus, options, priority, onRecord: () => { if (process.stderr.isTTY) process.stderr.write(`\r${queue.progress} `); } }));
  const made = await Promise.allSettled(labs.map((lab) => claims[lab.priority].make(lab)));
  queue.close();
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  for (const [i, { reason }] of made.entries()) {
    if (reason) {
      console.error(`${claims[i].name}: ${reason instanceof Stopped ? 'stopped before its end; the same command goes on with what is missing' : reason.message}`);
      process.exitCode = 1;
    }
    if (labs[i].records.length > 0) show(claims[i], await labs[i].finish(reason === undefined));
  }
}

async function drawClaims(claims, options) {
  for (const claim of claims) show(claim, await new Lab(claim, { options }).redraw());
}

function show({ name, tell }, result) {
  console.log(`${name}\n${tell(result).map((line) => `  ${line}`).join('\n')}`);
}
