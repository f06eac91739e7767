// Makes a wasm backend: memory of its own, the kernels, and threads to run them.

import { platform, webAssemblyFeatures } from '../../platform/index.js';
import type { Threads } from '../../platform/index.js';
import { WasmBackend } from './backend.js';
import { Heap } from './heap.js';
import { InlineExecutor, poolExecutor, threadCount } from './pool.js';
import { findFault } from './self-check.js';

export { WasmBackend } from './backend.js';

export interface WasmOptions {
  /** Worker threads; one per core by default. */
  readonly threads?: number;
  /** False computes on the calling thread, as happens where memory cannot be shared. */
  readonly workers?: boolean;
  /** Whether kernels use relaxed SIMD; where the engine has it by default. */
  readonly relaxedSimd?: boolean;
  /**
   * Lets the engine fuse pairs of 128-bit operations, which is experimental: every kernel that gains is
   * checked against its definition first. Prompts gain a third; Node 22 or newer.
   */
  readonly revectorize?: boolean;
  /** Largest op of a recorded step, in multiplications, that every thread does for itself: for measurements. */
  readonly repeatLimit?: number;
}

/** Rejects with one line where kernels are missing, or revectorised ones cannot be had or are wrong. */
export async function createBackend(options: WasmOptions = {}): Promise<WasmBackend> {
  const { threads: host } = await platform();
  if (!options.revectorize) return create(options, host);
  if (!host.revectorize) throw new Error('revectorize needs Node 22 or newer');
  host.revectorize(true);
  const backend = await create(options, host);
  const fault = await findFault(backend);
  if (fault === undefined) return backend;
  backend.dispose();
  host.revectorize(false);
  throw new Error(`revectorized kernels compute wrong results on this machine (${fault}): load the model without revectorize`);
}

async function create({ threads, workers, relaxedSimd, revectorize, repeatLimit }: WasmOptions, host: Threads): Promise<WasmBackend> {
  const shared = (workers ?? true) && host.sharedMemory;
  const count = threadCount(threads, host.available);
  const module = await kernels(`kernels${relaxedSimd ?? webAssemblyFeatures().relaxedSimd ? '.relaxed' : ''}${shared ? '' : '.single'}.wasm`, host, revectorize);
  const memory = Heap.memory(shared);
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  const heap = new Heap(memory, (instance.exports.heapBase as () => number)());
  return new WasmBackend(heap, shared ? await poolExecutor(count, module, memory) : new InlineExecutor(instance), repeatLimit);
}

const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** The compiled kernels, once per process. */
function kernels(file: string, host: Threads, revectorize = false): Promise<WebAssembly.Module> {
  const key = revectorize ? `${file}, revectorized` : file;
  const known = compiled.get(key);
  if (known) return known;
  const loading = load(file, host).then((bytes) => WebAssembly.compile(revectorize ? marked(bytes) : bytes));
  compiled.set(key, loading);
  loading.catch(() => compiled.delete(key));
  return loading;
}

/** One expression for each file, by which bundlers know to copy it. */
const BESIDE: Readonly<Record<string, () => URL>> = {
  'kernels.wasm': () => new URL('./kernels.wasm', import.meta.url),
  'kernels.single.wasm': () => new URL('./kernels.single.wasm', import.meta.url),
  'kernels.relaxed.wasm': () => new URL('./kernels.relaxed.wasm', import.meta.url),
  'kernels.relaxed.single.wasm': () => new URL('./kernels.relaxed.single.wasm', import.meta.url),
};

/** They lie beside this module in the package, in the build's cache when it runs from sources. */
async function load(file: string, host: Threads): Promise<BufferSource> {
  const cache = '../../../node_modules/.cache/lamella/';
  for (const place of [BESIDE[file](), new URL(`${cache}${file}`, import.meta.url)]) {
    const bytes = await host.readModule(place);
    if (bytes) return bytes as BufferSource;
  }
  throw new Error(`the WebAssembly kernels (${file}) are missing: build the package with 'npm run build'`);
}

/** With an empty custom section, so that the engine does not take code that it has made of the same bytes. */
function marked(module: BufferSource): BufferSource {
  const bytes = new Uint8Array((module as Uint8Array).byteLength + 4);
  bytes.set(module as Uint8Array);
  bytes.set([0, 2, 1, 0x72], bytes.length - 4);
  return bytes;
}
