// Writes src/models/published_configs.ts from a folder of published config.json files, each called
// <owner>__<name>.json (or <name>.json) after its hub id:
//
//   node scripts/import-configs.mjs <folder>
//
// The files are taken as they are: they are facts about releases, not settings.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node scripts/import-configs.mjs <folder of configs>');
  process.exit(2);
}

const quote = (text) => `'${text.replace(/['\\]/g, '\\$&')}'`;
const records = readdirSync(folder).filter((file) => file.endsWith('.json')).map((file) => {
  const hubId = file.slice(0, -'.json'.length).replace('__', '/');
  const name = hubId.slice(hubId.indexOf('/') + 1).toLowerCase();
  const config = JSON.stringify(JSON.parse(readFileSync(join(folder, file), 'utf8')));
  return { name, line: `  ${quote(name)}: { hubId: ${quote(hubId)}, config: ${config} },` };
});
const names = new Set(records.map(({ name }) => name));
if (names.size < records.length) throw new Error('two of the files have the same name behind the owner');
records.sort((a, b) => (a.name < b.name ? -1 : 1));

const target = join(dirname(fileURLToPath(import.meta.url)), '../src/models/published_configs.ts');
writeFileSync(target, `// The config.json of published releases, by name in lower case without the owner.
// Written by scripts/import-configs.mjs: change that, or its input, not this file.

export const publishedConfigs: Readonly<Record<string, { readonly hubId: string; readonly config: Readonly<Record<string, unknown>> }>> = {
${records.map(({ line }) => line).join('\n')}
};
`);
console.log(`${records.length} configs written to ${target}`);
