// The check that revectorised kernels must pass finds wrong kernels, and the engine's own pass it.

import { expect, it } from 'vitest';
import { createBackend } from '../../src/backends/wasm/index.js';
import { findFault } from '../../src/backends/wasm/self-check.js';
import { platform } from '../../src/platform/index.js';
import { buildWasm, cacheFolder } from '../../scripts/build-wasm.mjs';
import { wasm } from './support.js';

it.each([[true], [false]])('kernels are right, relaxed SIMD: %s', async (relaxedSimd) => {
  const backend = await wasm({ threads: 2, relaxedSimd });
  expect(await findFault(backend)).toBeUndefined();
  backend.dispose();
});

it('finds an op that is wrong', async () => {
  const backend = await wasm({ threads: 1 });
  const { read } = backend;
  let reads = 0;
  // One bit of the fourth result.
  backend.read = async (...args) => {
    const bytes = await read.apply(backend, args);
    if (reads++ === 3) bytes[2] ^= 0x20;
    return bytes;
  };
  expect(await findFault(backend)).toBe('linear of f16');
  backend.dispose();
});

it('revectorised kernels are checked, or said to need another Node', async () => {
  await buildWasm(cacheFolder);
  const { threads } = await platform();
  const loading = createBackend({ threads: 1, revectorize: true });
  if (!threads.revectorize) {
    await expect(loading.then(() => 'loaded')).rejects.toThrow('revectorize needs Node 22 or newer');
    return;
  }
  const backend = await loading;
  expect(await findFault(backend)).toBeUndefined();
  backend.dispose();
  threads.revectorize(false);
});
