// Bundles the library for browsers: modules that a page can load as they are, with no bundler and no
// import map (workers have none), dependencies included.
//
//   node scripts/build-browser.mjs [folder]     default: dist/browser
//
// `lamella.js` is the whole public interface, `worker.js` what it starts to run a model, and the
// kernels lie beside them, because both are found relative to the module that asks.

import { copyFile, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { buildWasm, cacheFolder } from './build-wasm.mjs';
import { buildWgsl } from './build-wgsl.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const ENTRIES = { lamella: path.join(root, 'src/browser.ts'), worker: path.join(root, 'src/remote/worker.ts') };

/** Node's side of the platform is asked for in Node alone: what it imports must not be looked for. */
const withoutNode = {
  name: 'without-node',
  load: (id) => (/platform[\\/]node\.ts$/.test(id) ? 'export const node = undefined;' : undefined),
};

/** Empties `folder` and writes a module for each entry, what they share, and the kernels. */
export async function buildBrowser(folder = path.join(root, 'dist/browser'), entries = ENTRIES) {
  buildWgsl();
  await buildWasm(cacheFolder);
  await rm(folder, { recursive: true, force: true });
  const bundle = await rolldown({ input: entries, platform: 'browser', tsconfig: path.join(root, 'tsconfig.json'), resolve: { extensionAlias: { '.js': ['.ts', '.js'] } }, plugins: [withoutNode] });
  try {
    await bundle.write({ dir: folder, format: 'esm', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' });
  } finally {
    await bundle.close();
  }
  const kernels = (await readdir(cacheFolder)).filter((name) => /^kernels.*\.wasm$/.test(name));
  await Promise.all(kernels.map((name) => copyFile(path.join(cacheFolder, name), path.join(folder, name))));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildBrowser(process.argv[2]);
