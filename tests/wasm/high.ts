// Kernels with 64-bit addresses against those with 32-bit ones, with everything above 4 GiB: the same
// bits. Runs in browsers too.

import { createBackend } from '../../src/backends/wasm/index.js';
import type { WasmBackend, WasmOptions } from '../../src/backends/wasm/index.js';
import { wasmCases } from './op_cases.js';
import { computed } from './runs.js';
import { sameBits } from './steps.js';

const FOUR_GIB = 2 ** 32;

/** A backend whose buffers lie above 4 GiB. Below lies one that is never used, and so costs addresses only. */
export async function highBackend(options: WasmOptions = {}): Promise<WasmBackend> {
  const backend = await createBackend({ ...options, memory64: true });
  const [below, first] = [backend.alloc(FOUR_GIB), backend.alloc(64)];
  for (const buffer of [below, first]) backend.write(buffer, 0, new Uint8Array(1));
  const address = backend['slots'].get(first)!.address!;
  if (address < FOUR_GIB) throw new Error(`a buffer lies at ${address}, below 4 GiB`);
  backend.free(first);
  return backend;
}

/** The cases of ops whose results are not the same, appended or recorded, with the fault if there was one. */
export async function differences(options: WasmOptions): Promise<string[]> {
  const [low, high] = [await createBackend({ ...options, memory64: false }), await highBackend(options)];
  const found: string[] = [];
  for (const c of wasmCases) for (const recorded of [false, true]) {
    const [got, want] = await Promise.all([computed(high, c, recorded), computed(low, c, recorded)]);
    if (!got.every((bytes, i) => sameBits(bytes, want[i]))) found.push(`${c.op}: ${c.note}${recorded ? ', recorded' : ''}`);
  }
  low.dispose();
  high.dispose();
  return found;
}
