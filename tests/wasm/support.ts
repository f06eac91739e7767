// What the tests of the wasm backend share: built kernels, and what of an engine they need.

import { setFlagsFromString } from 'node:v8';
import { webAssemblyFeatures } from '../../src/platform/webassembly.js';
import { createBackend } from '../../src/backends/wasm/index.js';
import type { WasmBackend, WasmOptions } from '../../src/backends/wasm/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';

// Node 20 has relaxed SIMD behind a flag that can still be set: its modules are tested there too.
if (!webAssemblyFeatures().relaxedSimd) setFlagsFromString('--experimental-wasm-relaxed-simd');

/** A backend over freshly built kernels. */
export async function wasm(options: WasmOptions = {}): Promise<WasmBackend> {
  await buildWasm(cacheFolder);
  return createBackend(options);
}

export const hasMemory64 = webAssemblyFeatures().memory64;
/** A title that says why tests of 64-bit addresses are skipped where they are: Chromium runs them too (tests/browser). */
export const inMemory64 = (name: string): string => (hasMemory64 ? name : `${name} (needs Node 24)`);
