// Turns the GPU kernels (src/backends/webgpu/kernels/*.wgsl) into one JavaScript module, so that
// Node, browsers, bundlers and tests load them the same way: src/backends/webgpu/wgsl.js for the
// tests, its copy in dist/ for the package. Nothing it writes is committed.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const kernels = join(root, 'src/backends/webgpu/kernels');

/** Writes the module beside the sources and, where wanted, into dist/. */
export function buildWgsl({ dist = false } = {}) {
  const files = readdirSync(kernels).filter((name) => name.endsWith('.wgsl')).sort();
  const entries = files.map((name) => `  ${JSON.stringify(name.slice(0, -5))}: ${JSON.stringify(readFileSync(join(kernels, name), 'utf8'))},`);
  const text = `// Written by scripts/build-wgsl.mjs from kernels/*.wgsl: edit those.\nexport const sources = {\n${entries.join('\n')}\n};\n`;
  // Dated like its newest source, so that writing it does not make the build look out of date.
  const newest = Math.max(...files.map((name) => statSync(join(kernels, name)).mtimeMs)) / 1000;
  for (const folder of ['src', ...(dist ? ['dist'] : [])]) replace(join(root, folder, 'backends/webgpu/wgsl.js'), text, newest);
}

/** In one step, and only if it changes: test workers do this side by side. */
function replace(target, text, time) {
  if (existsSync(target) && readFileSync(target, 'utf8') === text) return;
  mkdirSync(dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  writeFileSync(temporary, text);
  utimesSync(temporary, time, time);
  renameSync(temporary, target);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildWgsl({ dist: true });
