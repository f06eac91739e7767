// All claims in one queue, those that are worth most first.
//
//   node lab/all.mjs --data stories.txt [--seconds 330] [--processes 3] …

import { command } from './claim.mjs';

const NAMES = ['muon-against-adamw', 'latent-attention', 'without-positions', 'experts', 'sliding-window', 'qk-clip', 'shared-expert', 'stable-rates'];
const only = { value: '<names>', help: 'not all, but these, divided by commas' };

function load(name) {
  if (!NAMES.includes(name)) throw new Error(`there is no claim '${name}': ${NAMES.join(', ')}`);
  return import(`./${name}.mjs`).then(({ claim }) => claim);
}

await command('lab/all.mjs', 'All claims in one queue, those that are worth most first.', { claims: only }, ({ claims }) => Promise.all((claims?.split(',') ?? NAMES).map(load)));
