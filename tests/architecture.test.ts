// The layout of src/ as a table: who may import whom. Data flows down the list; a file may import
// its own folder and what its row names. `node:` stays in cli/, platform/node* and scripts.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { families } from '../src/models/index.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const src = join(root, 'src');

/** Room -> rooms it may import. `tensor/dtype` is the part of tensor that knows only bytes. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  platform: [],
  tensor: [],
  backends: ['tensor', 'platform'],
  nn: ['tensor'],
  checkpoint: ['tensor/dtype', 'platform'],
  tokenizer: ['checkpoint', 'platform'],
  models: ['nn', 'tensor'],
  engine: ['models', 'tokenizer', 'checkpoint', 'nn', 'backends', 'tensor', 'platform'],
  generate: ['engine', 'tokenizer'],
  'model.ts': ['remote', 'generate', 'engine', 'models', 'tokenizer', 'checkpoint', 'platform'],
  // The two ends of a model in a worker; `model.ts` starts one of them, by dynamic import.
  remote: ['model.ts', 'generate', 'engine', 'models', 'tokenizer', 'checkpoint', 'platform'],
  training: ['model.ts', 'generate', 'engine', 'models', 'tokenizer', 'checkpoint', 'nn', 'tensor', 'platform'],
  analysis: ['models', 'nn', 'tensor', 'backends/meta', 'checkpoint', 'platform', 'engine/weights', 'engine/names', 'engine/residency'],
  'index.ts': ['model.ts', 'generate', 'engine', 'models', 'tokenizer', 'checkpoint'],
  'browser.ts': ['index.ts', 'analysis', 'training', 'tokenizer', 'checkpoint'],
  cli: ['index.ts', 'model.ts', 'analysis', 'training', 'generate', 'engine', 'models', 'tokenizer', 'checkpoint', 'tensor', 'platform'],
};
/** Packages that a room may import; `!`: only by dynamic import. */
const packages: Readonly<Record<string, readonly string[]>> = {
  tokenizer: ['@huggingface/tokenizers', '@huggingface/jinja'],
  checkpoint: ['!@huggingface/hub'],
  platform: ['!webgpu'],
  cli: ['commander', '!@huggingface/hub'],
};

interface Import { readonly from: string; readonly to: string; readonly dynamic: boolean }

function files(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return files(path);
    return /\.ts$/.test(entry.name) && !path.includes('backends/wasm/kernels') ? [path] : [];
  });
}

function importsOf(path: string): Import[] {
  const text = readFileSync(path, 'utf8').replace(/^\s*(\/\/|\*|\/\*).*$/gm, '');
  const found: Import[] = [];
  for (const [, to] of text.matchAll(/^\s*(?:import|export)\b[^'";]*?from\s*['"]([^'"]+)['"]/gm)) found.push({ from: path, to, dynamic: false });
  for (const [, to] of text.matchAll(/^\s*import\s*['"]([^'"]+)['"]/gm)) found.push({ from: path, to, dynamic: false });
  for (const [, to] of text.matchAll(/\bimport\(\s*['"]([^'"]+)['"]\s*\)/g)) found.push({ from: path, to, dynamic: true });
  return found;
}

const roomOf = (path: string) => relative(src, path).split('/')[0];
const all = files(src).flatMap(importsOf);

describe('imports', () => {
  it('every room is in the table', () => {
    expect([...new Set(files(src).map(roomOf))].filter((room) => !(room in rooms))).toEqual([]);
  });

  it('go down the table only', () => {
    const wrong = all.filter(({ from, to }) => {
      if (!to.startsWith('.')) return false;
      const target = relative(src, resolve(dirname(from), to)).replace(/\.js$/, '.ts');
      const [room] = target.split('/');
      if (room === roomOf(from)) return false;
      return !rooms[roomOf(from)].some((allowed) => target === allowed || target.startsWith(`${allowed}/`) || target === `${allowed}.ts`);
    });
    expect(wrong.map(({ from, to }) => `${relative(src, from)} -> ${to}`)).toEqual([]);
  });

  it('tensor and engine take backends by dynamic import alone', () => {
    const wrong = all.filter(({ from, to, dynamic }) => !dynamic && to.includes('/backends/') && ['engine', 'cli', 'model.ts'].includes(roomOf(from)));
    expect(wrong.map(({ from, to }) => `${relative(src, from)} -> ${to}`)).toEqual([]);
  });

  it('of node: stay in cli and platform/node*', () => {
    const wrong = all.filter(({ from, to }) => to.startsWith('node:') && !/^(cli\/|platform\/node)/.test(relative(src, from)));
    expect(wrong.map(({ from, to }) => `${relative(src, from)} -> ${to}`)).toEqual([]);
  });

  it('of packages are declared, and heavy ones are loaded on use', () => {
    const wrong = all.filter(({ from, to, dynamic }) => {
      if (to.startsWith('.') || to.startsWith('node:')) return false;
      const name = to.split('/').slice(0, to.startsWith('@') ? 2 : 1).join('/');
      const allowed = packages[roomOf(from)] ?? [];
      return !(allowed.includes(name) || (dynamic && allowed.includes(`!${name}`)) || isTypeOnly(from, to));
    });
    expect(wrong.map(({ from, to }) => `${relative(src, from)} -> ${to}`)).toEqual([]);
  });
});

/** `import type … from` costs nothing at run time. */
function isTypeOnly(from: string, to: string): boolean {
  return new RegExp(`import type [^;]*from ['"]${to.replace(/[/\\-]/g, '\\$&')}['"]`).test(readFileSync(from, 'utf8'));
}

describe('style', () => {
  it('every source file opens with its promise', () => {
    const silent = files(src).filter((path) => !/^(#!.*\n)?\s*(\/\/|\/\*)/.test(readFileSync(path, 'utf8')));
    expect(silent.map((path) => relative(src, path))).toEqual([]);
  });

  it('no shared code asks which family it serves', () => {
    const names = new RegExp(`['"](${families.flatMap((f) => [f.name, ...f.modelTypes]).join('|')})['"]`);
    const shared = files(src).filter((path) => ['tensor', 'nn', 'engine', 'generate', 'backends', 'training'].includes(roomOf(path)));
    expect(shared.filter((path) => names.test(readFileSync(path, 'utf8'))).map((path) => relative(src, path))).toEqual([]);
  });

  it('a family file stays near 120 lines', () => {
    const long = files(join(src, 'models')).filter((path) => readFileSync(path, 'utf8').includes('family(') && readFileSync(path, 'utf8').split('\n').length > 130);
    expect(long.map((path) => relative(src, path))).toEqual([]);
  });
});
