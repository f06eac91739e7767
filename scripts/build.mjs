// Builds dist/: TypeScript first, then the kernels of the backends that have a build step of their
// own, then all of it once more as a bundle for browsers. Everything it prints goes to stderr. `isStale` tells whether there is anything to do.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const cache = join(root, 'node_modules/.cache');
const stamp = join(cache, 'lamella-built');
const cli = join(root, 'dist/cli/main.js');
const wasm = 'scripts/build-wasm.mjs';
const wgsl = 'scripts/build-wgsl.mjs';
const browser = 'scripts/build-browser.mjs';

/** Whether dist/ is missing or older than anything it is made of. */
export function isStale() {
  if (!existsSync(cli) || !existsSync(stamp)) return true;
  const built = statSync(stamp).mtimeMs;
  const inputs = ['tsconfig.json', 'tsconfig.build.json', 'package.json', 'scripts/build.mjs', wasm, wgsl, browser];
  return inputs.some((file) => newerThan(join(root, file), built)) || newerThan(join(root, 'src'), built);
}

/** A folder is newer when anything in it is; its own time tells of files that were removed. */
function newerThan(path, time) {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) return false;
  if (found.mtimeMs > time) return true;
  return found.isDirectory() && readdirSync(path).some((name) => newerThan(join(path, name), time));
}

/** Builds; throws with one line when a step fails. */
export function build() {
  // Writes beside the sources, so before the clock starts.
  step(wgsl);
  const started = new Date();
  mkdirSync(cache, { recursive: true });
  rmSync(stamp, { force: true });
  // What was emitted before is skipped by its record, which would leave a removed dist/ empty.
  if (!existsSync(cli)) rmSync(join(cache, 'lamella.tsbuildinfo'), { force: true });
  step('node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json');
  step(wasm);
  step(wgsl, 'dist/backends/webgpu/wgsl.js');
  step(browser);
  chmodSync(cli, 0o755);
  // Dated to the start: a file saved while building counts as newer.
  writeFileSync(stamp, '');
  utimesSync(stamp, started, started);
}

function step(script, ...args) {
  // A backend that is not there has no kernels.
  if (script.startsWith('scripts/') && !existsSync(join(root, script))) return;
  const { status, signal } = spawnSync(process.execPath, [join(root, script), ...args], { cwd: root, stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error(`the build stopped: ${script} ${signal ? `was ended by ${signal}` : `exited with code ${status}`}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    build();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
