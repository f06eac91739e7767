// The case list of every op in Chromium: WebAssembly with and without threads, and WebGPU.

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { opCases } from '../ops/cases.js';
import type { CaseResult } from './ops_entry.js';
import { chromiumPath, closePage, inChromium, openPage, SOFTWARE_GPU, useSite } from './support.js';

for (const { title, backend, isolated, tolerance } of [
  { title: 'WebAssembly on threads', backend: 'wasm', isolated: true, tolerance: 1e-5 },
  { title: 'WebAssembly on one thread', backend: 'wasm', isolated: false, tolerance: 1e-5 },
  { title: 'WebGPU', backend: 'webgpu', isolated: true, tolerance: 1e-4 },
]) describe.skipIf(!chromiumPath)(inChromium(`ops, ${title}`), () => {
  const library = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const site = useSite({ isolated, args: backend === 'webgpu' ? SOFTWARE_GPU : [], entries: { ops: library('./ops_entry.ts'), lamella: library('../../src/browser.ts'), worker: library('../../src/remote/worker.ts') } });

  it('every case is what its definition says', async () => {
    const page = await openPage(site);
    const { results, failed } = await page.evaluate((request) => new Promise<{ results?: CaseResult[]; failed?: string }>((resolve) => {
      const worker = new Worker('/lamella/ops.js', { type: 'module' });
      worker.onmessage = ({ data }) => { worker.terminate(); resolve(data); };
      worker.onerror = (event) => resolve({ failed: event.message });
      worker.postMessage(request);
    }), { backend, threads: isolated ? 2 : undefined });
    expect(failed).toBeUndefined();
    expect(results!.length).toBe(opCases.filter(({ training }) => backend === 'wasm' || !training).length);
    expect(results!.filter(({ error }) => !(error < tolerance))).toEqual([]);
    await closePage(page);
  });
});
