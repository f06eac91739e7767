// What the tests of the wasm backend share: built kernels, and what of an engine they need.

import { setFlagsFromString } from 'node:v8';
import { webAssemblyFeatures } from '../../src/platform/webassembly.js';
import { createBackend } from '../../src/backends/wasm/index.js';
import type { WasmBackend, WasmOptions } from '../../src/backends/wasm/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';

// Node 20 has relaxed SIMD behind a flag that can still be set: its modules are tested there too.
if (!webAssemblyFeatures().relaxedSimd) setFlagsFromString('--experimental-wasm-relaxed-simd');

const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
const v128 = (byte: number) => [0xfd, 0x0c, ...new Array<number>(16).fill(byte)];

/** Whether kernels with relaxed SIMD multiply Q8_0 in bytes here (kernels/byte-products.ts): a product of 127 and 255 does not saturate. */
export function multipliesBytes(): boolean {
  const code = [...v128(127), ...v128(255), ...v128(0), /* i32x4.relaxed_dot_i8x16_i7x16_add_s */ 0xfd, 0x93, 0x02, /* i32x4.extract_lane 0 */ 0xfd, 0x1b, 0];
  const module = [...header, 1, 5, 1, 0x60, 0, 1, 0x7f, 3, 2, 1, 0, 7, 5, 1, 1, 0x66, 0, 0, 10, code.length + 4, 1, code.length + 2, 0, ...code, 0x0b];
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module))).exports as { f: () => number };
  return [4 * 127 * 255, -4 * 127].includes(f());
}

/** A backend over freshly built kernels. */
export async function wasm(options: WasmOptions = {}): Promise<WasmBackend> {
  await buildWasm(cacheFolder);
  return createBackend(options);
}

export const hasMemory64 = webAssemblyFeatures().memory64;
/** A title that says why tests of 64-bit addresses are skipped where they are: Chromium runs them too (tests/browser). */
export const inMemory64 = (name: string): string => (hasMemory64 ? name : `${name} (needs Node 24)`);
