// Compiles the WebAssembly backend's kernels (AssemblyScript) with npm's packages alone.
//
//   node scripts/build-wasm.mjs [folder]     default: dist/backends/wasm
//
// Over shared memory, or (`single`) over memory of its own, for places without threads; with plain
// SIMD, or (`relaxed`) with relaxed SIMD too. `buildWasm` skips the work when no source is newer, so that
// tests can call it.

import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = path.join(root, 'src/backends/wasm/kernels');

/** Where the modules lie when the library runs from its sources. */
export const cacheFolder = path.join(root, 'node_modules/.cache/lamella');

const OPTIONS = ['-O3', '--converge', '--noAssert', '--runtime', 'stub', '--importMemory', '--use', 'abort='];
const PLAIN = ['--enable', 'simd,threads,bulk-memory'];
const RELAXED = ['--enable', 'simd,threads,bulk-memory,relaxed-simd'];
// 65536 pages of 64 KiB: all that 32-bit addresses reach.
const SHARED = ['--sharedMemory', '--maximumMemory', '65536'];
const MODULES = {
  'kernels.wasm': [...PLAIN, ...SHARED],
  'kernels.single.wasm': PLAIN,
  'kernels.relaxed.wasm': [...RELAXED, ...SHARED],
  'kernels.relaxed.single.wasm': RELAXED,
};

const building = new Map();

/** Compiles the modules into `folder` where sources are newer; calls at the same time share one build. */
export function buildWasm(folder = path.join(root, 'dist/backends/wasm')) {
  if (!building.has(folder)) building.set(folder, buildInto(folder).finally(() => building.delete(folder)));
  return building.get(folder);
}

async function buildInto(folder) {
  const newest = await newestSource();
  await mkdir(folder, { recursive: true });
  for (const [name, options] of Object.entries(MODULES)) {
    const target = path.join(folder, name);
    if ((await modified(target)) > newest) continue;
    // Under another name first: a reader, or a second build, never sees half a module.
    const unfinished = `${target}.${process.pid}`;
    await compile(unfinished, options).catch(async (error) => { await rm(unfinished, { force: true }); throw error; });
    await rename(unfinished, target);
  }
}

async function compile(target, options) {
  const { main } = await import('assemblyscript/asc');
  const { error, stderr } = await main([path.relative(root, path.join(source, 'index.ts')), '--baseDir', root, '--outFile', path.relative(root, target), ...OPTIONS, ...options]);
  if (error) throw new Error(`the WebAssembly kernels do not compile: ${error.message}\n${stderr.toString()}`);
}

async function newestSource() {
  const files = [...(await readdir(source)).map((name) => path.join(source, name)), path.join(source, '../abi.ts'), fileURLToPath(import.meta.url)];
  return Math.max(...await Promise.all(files.map(modified)));
}

/** When a file was last changed; 0 where there is none. */
async function modified(file) {
  return (await stat(file).catch(() => ({ mtimeMs: 0 }))).mtimeMs;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await buildWasm(process.argv[2] && path.resolve(process.argv[2]));
}
