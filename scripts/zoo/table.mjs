// Prints the zoo's table for the README from zoo/results.json.
//
//   node scripts/zoo/table.mjs

import { readFileSync } from 'node:fs';

const { siblings } = JSON.parse(readFileSync(new URL('../../zoo/results.json', import.meta.url), 'utf8'));
const millions = (n) => `${(n / 1e6).toFixed(2)}M`;
const nats = (value) => (value === undefined ? '' : value.toFixed(3));

console.log('| sibling | parameters | active | Muon | AdamW | in the zoo |\n| --- | --- | --- | --- | --- | --- |');
for (const { arch, parameters, active, nll, quantisedNll } of siblings) {
  console.log(`| zoo:${arch} | ${millions(parameters)} | ${millions(active)} | ${nats(nll.muon)} | ${nats(nll.adamw)} | ${nats(quantisedNll)} |`);
}
