// Backends by name, loaded on use.

import type { Backend } from '../tensor/index.js';

export type BackendName = 'reference' | 'wasm' | 'webgpu';

export interface BackendOptions {
  /** Worker threads, where the backend has them. */
  readonly threads?: number;
  /** Lets the engine of WebAssembly fuse operations, which is experimental and checked first (wasm, Node 22 or newer). */
  readonly revectorize?: boolean;
  /** Told when 'auto' has to do with plain loops. */
  readonly onWarning?: (message: string) => void;
}

const load: Readonly<Record<BackendName, (options: BackendOptions) => Promise<Backend>>> = {
  reference: async () => (await import('../backends/reference/index.js')).createBackend(),
  wasm: async ({ threads, revectorize }) => (await import('../backends/wasm/index.js')).createBackend({ threads, revectorize }),
  webgpu: async () => (await import('../backends/webgpu/index.js')).createBackend(),
};

export const backendNames = Object.keys(load) as readonly BackendName[];

/** Creates a backend. 'auto' takes WebAssembly, and the plain loops where it cannot be had (no SIMD, no kernels built). */
export async function createBackend(name: BackendName | 'auto', options: BackendOptions = {}): Promise<Backend> {
  if (name === 'auto') return options.revectorize ? load.wasm(options) : load.wasm(options).catch((error: unknown) => loops(error, options));
  const create = load[name];
  if (!create) throw new Error(`unknown backend '${name}'; known are auto, ${backendNames.join(', ')}`);
  return create(options);
}

function loops(error: unknown, options: BackendOptions): Promise<Backend> {
  options.onWarning?.(`plain loops compute, which is slow: ${error instanceof Error ? error.message : String(error)}`);
  return load.reference(options);
}
