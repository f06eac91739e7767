// Compiles the WebAssembly backend's kernels (AssemblyScript) with npm's packages alone.
//
//   node scripts/build-wasm.mjs [folder]     default: dist/backends/wasm
//
// Over shared memory, or (`single`) over memory of its own, for places without threads, or (`memory64`)
// over shared memory with 64-bit addresses, for models beyond 4 GiB; with plain SIMD, or (`relaxed`) with
// relaxed SIMD too. `buildWasm` skips the work when no source is newer, so that tests can call it.

import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = path.join(root, 'src/backends/wasm/kernels');

/** Where the modules lie when the library runs from its sources. */
export const cacheFolder = path.join(root, 'node_modules/.cache/lamella');

const OPTIONS = ['-O3', '--converge', '--noAssert', '--runtime', 'stub', '--importMemory', '--use', 'abort='];
const PLAIN = ['simd', 'threads', 'bulk-memory'];
const RELAXED = [...PLAIN, 'relaxed-simd'];
/** Pages of 64 KiB: all that 32-bit addresses reach, and all that the JavaScript interface gives 64-bit ones (16 GiB). */
const SHARED = 65536;
const SHARED64 = 262144;
const MODULES = {
  'kernels.wasm': { features: PLAIN, shared: SHARED },
  'kernels.single.wasm': { features: PLAIN },
  'kernels.memory64.wasm': { features: [...PLAIN, 'memory64'], shared: SHARED64 },
  'kernels.relaxed.wasm': { features: RELAXED, shared: SHARED },
  'kernels.relaxed.single.wasm': { features: RELAXED },
  'kernels.relaxed.memory64.wasm': { features: [...RELAXED, 'memory64'], shared: SHARED64 },
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

async function compile(target, { features, shared }) {
  const { main } = await import('assemblyscript/asc');
  const memory = shared ? ['--sharedMemory', '--maximumMemory', String(shared)] : [];
  const { error, stderr } = await main(
    [path.relative(root, path.join(source, 'index.ts')), '--baseDir', root, '--outFile', path.relative(root, target), ...OPTIONS, '--enable', features.join(), ...memory],
    { transforms: features.includes('memory64') ? [Addresses64] : [] },
  );
  if (error) throw new Error(`the WebAssembly kernels do not compile: ${error.message}\n${stderr.toString()}`);
}

/**
 * Makes addresses 64-bit: the compiler can, its command line has no option for it. Which of its parts
 * depend on that is settled before parsing; the memory, which it declares with 32-bit addresses all the
 * same, is declared anew as soon as it is there.
 */
class Addresses64 {
  constructor() {
    const { options, module } = this.program;
    options.target = WASM64;
    module.sizeType = options.sizeTypeRef;
  }

  afterCompile(module) {
    const { initial, max, shared, module: from, base } = module.getMemoryInfo(MEMORY);
    const segments = Array.from({ length: module.getNumDataSegments() }, (_, i) => module.getDataSegmentInfo(module.getDataSegmentByIndex(i)));
    const moved = segments.map(({ offset, data, passive }) => ({ offset: module.i64.const(BigInt(offset)), data: new Uint8Array(data), passive }));
    module.setMemory(initial, max, null, moved, shared, true, MEMORY);
    module.addMemoryImport(MEMORY, from, base, shared);
  }
}

/** The compiler's number for the target. */
const WASM64 = 2;
/** Its name for the only memory. */
const MEMORY = '0';

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
