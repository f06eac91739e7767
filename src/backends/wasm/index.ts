// Makes a wasm backend: memory of its own, the kernels, and threads to run them.

import { platform, webAssemblyFeatures } from '../../platform/index.js';
import type { Threads } from '../../platform/index.js';
import { WasmBackend } from './backend.js';
import { Heap } from './heap.js';
import { InlineExecutor, poolExecutor, threadCount } from './pool.js';

export { WasmBackend } from './backend.js';

export interface WasmOptions {
  /** Worker threads; one per core by default. */
  readonly threads?: number;
  /** False computes on the calling thread, as happens where memory cannot be shared. */
  readonly workers?: boolean;
  /** Whether kernels use relaxed SIMD; where the engine has it by default. */
  readonly relaxedSimd?: boolean;
  /** Largest op of a recorded step, in multiplications, that every thread does for itself: for measurements. */
  readonly repeatLimit?: number;
}

export async function createBackend({ threads, workers, relaxedSimd, repeatLimit }: WasmOptions = {}): Promise<WasmBackend> {
  const { threads: host } = await platform();
  const shared = (workers ?? true) && host.sharedMemory;
  const count = threadCount(threads, host.available);
  const module = await kernels(`kernels${relaxedSimd ?? webAssemblyFeatures().relaxedSimd ? '.relaxed' : ''}${shared ? '' : '.single'}.wasm`, host);
  const memory = Heap.memory(shared);
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  const heap = new Heap(memory, (instance.exports.heapBase as () => number)());
  return new WasmBackend(heap, shared ? await poolExecutor(count, module, memory) : new InlineExecutor(instance), repeatLimit);
}

const compiled = new Map<string, Promise<WebAssembly.Module>>();

/** The compiled kernels, once per process. */
function kernels(file: string, host: Threads): Promise<WebAssembly.Module> {
  const known = compiled.get(file);
  if (known) return known;
  const loading = load(file, host);
  compiled.set(file, loading);
  loading.catch(() => compiled.delete(file));
  return loading;
}

/** They lie beside this module in the package, in the build's cache when it runs from sources. */
async function load(file: string, host: Threads): Promise<WebAssembly.Module> {
  for (const place of [`./${file}`, `../../../node_modules/.cache/lamella/${file}`]) {
    const bytes = await host.readModule(new URL(place, import.meta.url));
    if (bytes) return WebAssembly.compile(bytes as BufferSource);
  }
  throw new Error(`the WebAssembly kernels (${file}) are missing: build the package with 'npm run build'`);
}
