// What `npm start` and `npm test` run: installs and builds whatever is missing or out of date, then
// starts the command line or the tests. Needs nothing but Node; says nothing when nothing is to do.
//
//   npm start                            tells a story with a model that comes with the repository
//   npm start -- run <model> "<prompt>"  any command of the command line
//   npm test -- tests/cli                the tests, or some of them

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

const [task, ...args] = process.argv.slice(2);
try {
  if (Number(process.versions.node.split('.')[0]) < 20) throw new Error(`Lamella needs Node 20 or newer, this is ${process.version}`);
  if (task !== 'start' && task !== 'test') throw new Error('usage: node scripts/run.mjs start|test [arguments]');
  if (!isInstalled()) install();
  const { build, isStale } = await import('./build.mjs');
  if (isStale()) {
    console.error('building…');
    build();
  }
  if (task === 'test') process.exit(spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...args], { cwd: root, stdio: 'inherit' }).status ?? 1);
  const { main } = await import(pathToFileURL(join(root, 'dist/cli/program.js')).href);
  process.exitCode = await main(args.length > 0 ? args : ['story']);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

/**
 * Whether node_modules holds what package-lock.json names. npm leaves a record of what it installed;
 * versions are compared rather than dates, which a checkout or a copy changes.
 */
function isInstalled() {
  const installed = packagesOf('node_modules/.package-lock.json');
  const wanted = packagesOf('package-lock.json');
  if (!installed) return false;
  if (!wanted) return existsSync(join(root, 'node_modules/typescript'));
  return Object.entries(wanted).every(([path, entry]) => path === '' || entry.link || entry.optional || entry.devOptional || installed[path]?.version === entry.version);
}

function packagesOf(file) {
  const path = join(root, file);
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : undefined;
}

function install() {
  console.error('installing…');
  const npm = (...command) => spawnSync('npm', [...command, '--no-audit', '--no-fund'], { cwd: root, stdio: ['ignore', 2, 2], shell: process.platform === 'win32' }).status === 0;
  // `ci` refuses a lock file that is missing or disagrees with package.json.
  if (!npm('ci') && !npm('install')) throw new Error('npm could not install the dependencies; its output above says why');
}
