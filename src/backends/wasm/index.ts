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
   * checked against its definition first. Prompts gain a third to two thirds; Node 22 or newer.
   */
  readonly revectorize?: boolean;
  /** True: 64-bit addresses from the start; false: never. By default where a model needs them and they can be had. */
  readonly memory64?: boolean;
  /** Largest op of a recorded step, in multiplications, that every thread does for itself: for measurements. */
  readonly repeatLimit?: number;
}

/** Rejects with one line where kernels are missing, or what was asked for cannot be had or is wrong. */
export async function createBackend(options: WasmOptions = {}): Promise<WasmBackend> {
  const { threads: host } = await platform();
  const shared = (options.workers ?? true) && host.sharedMemory;
  const can = shared && webAssemblyFeatures().memory64;
  if (options.memory64) {
    if (!can) throw new Error('memory64 needs Node 24 or newer, or a current browser and a cross-origin isolated page');
    return create(options, host, 'memory64');
  }
  const widen = can && options.memory64 !== false ? () => create(options, host, 'memory64') : undefined;
  return create(options, host, shared ? 'shared' : 'single', widen);
}

/** Which memory kernels work in: of 32-bit addresses and shared, or not; or of 64-bit addresses and shared. */
type MemoryKind = 'shared' | 'single' | 'memory64';

async function create(options: WasmOptions, host: Threads, kind: MemoryKind, widen?: () => Promise<WasmBackend>): Promise<WasmBackend> {
  if (!options.revectorize) return plain(options, host, kind, widen);
  if (!host.revectorize) throw new Error('revectorize needs Node 22 or newer');
  host.revectorize(true);
  const backend = await plain(options, host, kind, widen);
  const fault = await findFault(backend);
  if (fault === undefined) return backend;
  backend.dispose();
  host.revectorize(false);
  throw new Error(`revectorized kernels compute wrong results on this machine (${fault}): load the model without revectorize`);
}

async function plain({ threads, relaxedSimd, revectorize, repeatLimit }: WasmOptions, host: Threads, kind: MemoryKind, widen?: () => Promise<WasmBackend>): Promise<WasmBackend> {
  const [shared, wide] = [kind !== 'single', kind === 'memory64'];
  const count = threadCount(threads, host.available);
  const module = await kernels(`kernels${relaxedSimd ?? webAssemblyFeatures().relaxedSimd ? '.relaxed' : ''}${kind === 'shared' ? '' : `.${kind}`}.wasm`, host, revectorize);
  const memory = Heap.memory(shared, wide);
  const instance = await WebAssembly.instantiate(module, { env: { memory } });
  const heap = new Heap(memory, (instance.exports.heapBase as () => number)(), wide);
  return new WasmBackend(heap, shared ? await poolExecutor(count, module, memory) : new InlineExecutor(instance), { repeatLimit, widen, revectorized: revectorize });
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
  'kernels.memory64.wasm': () => new URL('./kernels.memory64.wasm', import.meta.url),
  'kernels.single.wasm': () => new URL('./kernels.single.wasm', import.meta.url),
  'kernels.relaxed.wasm': () => new URL('./kernels.relaxed.wasm', import.meta.url),
  'kernels.relaxed.memory64.wasm': () => new URL('./kernels.relaxed.memory64.wasm', import.meta.url),
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
