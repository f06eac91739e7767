// Measures the files of zoo/ on held-out stories, and writes zoo/results.json: what each sibling is, what
// it was trained on, how well it predicts before and after quantising, and how its likeliest story begins.
//
//   node scripts/zoo/results.mjs --run zoo-run [--optimizer muon] [--device "one NVIDIA H100"] [--zoo zoo]

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describe } from '../../dist/analysis/index.js';
import { evaluate } from '../../dist/generate/index.js';
import { loadModel } from '../../dist/index.js';
import { hiddenParameters } from '../../dist/models/index.js';
import { END_OF_TEXT } from '../../dist/tokenizer/index.js';
import { SIBLINGS } from './siblings.mjs';
import { storiesOf } from './tokenizer.mjs';
import { SETTINGS } from './train.mjs';

const BEGINNING = 'Once upon a time';

/** Mean negative log-likelihood per token over stories, each read from its mark to its mark. */
async function meanNll(model, stories) {
  const mark = model.tokenizer.tokenToId(END_OF_TEXT);
  let [sum, tokens] = [0, 0];
  for (const story of stories) {
    const ids = [mark, ...model.tokenizer.encode(story, { addSpecialTokens: false }), mark].slice(0, model.contextLength);
    const { meanNll: nll, tokens: count } = await evaluate(model.engine.runner, ids, { window: model.contextLength });
    sum += nll * count;
    tokens += count;
  }
  return { nll: sum / tokens, tokens };
}

async function withModel(source, backend, body) {
  const model = await loadModel(source, { backend });
  try {
    return await body(model);
  } finally {
    await model.dispose();
  }
}

/** Greedy, and in plain loops, which give the same everywhere. */
async function beginningOf(model) {
  let text = BEGINNING;
  for await (const piece of model.generate(text, { maxTokens: 24, temperature: 0 })) text += piece.text;
  return text;
}

async function sibling(run, zoo, arch, optimizer, stories) {
  const file = join(zoo, `${arch}.gguf`);
  const { parameters } = await describe(file);
  const runs = ['muon', 'adamw'].map((name) => [name, join(run, `${arch}-${name}`, 'result.json')]).filter(([, path]) => existsSync(path)).map(([name, path]) => [name, JSON.parse(readFileSync(path, 'utf8'))]);
  const { nll, tokens } = await withModel(file, 'wasm', (model) => meanNll(model, stories));
  return {
    arch, optimizer, bytes: statSync(file).size, parameters: parameters.total, active: parameters.active, hidden: await withModel(file, 'reference', ({ config }) => hiddenParameters(config)),
    nll: Object.fromEntries(runs.map(([name, result]) => [name, result.heldoutNll])), quantisedNll: nll, heldoutTokens: tokens,
    told: await withModel(file, 'reference', beginningOf), training: Object.fromEntries(runs)[optimizer],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values: { run, optimizer, device, zoo } } = parseArgs({ options: {
    run: { type: 'string', default: 'zoo-run' }, optimizer: { type: 'string', default: 'muon' }, device: { type: 'string' }, zoo: { type: 'string', default: 'zoo' },
  } });
  const stories = storiesOf(join(run, 'heldout.txt')).slice(0, SETTINGS.heldout);
  const siblings = [];
  for (const arch of SIBLINGS.filter((name) => existsSync(join(zoo, `${name}.gguf`)))) {
    siblings.push(await sibling(run, zoo, arch, optimizer, stories));
    const { nll, quantisedNll, told } = siblings.at(-1);
    console.log(arch, nll, quantisedNll.toFixed(4), told);
  }
  const corpus = JSON.parse(readFileSync(join(run, 'corpus.json'), 'utf8'));
  writeFileSync(join(zoo, 'results.json'), `${JSON.stringify({ device, corpus, siblings }, null, 2)}\n`);
}
