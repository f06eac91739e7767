// How a GPU lives in a process: what is said where there is none, and that a process which ends
// closes its GPU and keeps its exit code.

import { gpuKind, titled } from './support.js';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gpu } from '../../src/backends/webgpu/gpu.js';
import { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import { Engine } from '../../src/engine/index.js';
import { openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { loadReference, modelDirectory, relativeError } from '../support.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const cache = join(root, 'node_modules/.cache');

/** `src/platform/node-gpu.ts` as a program of its own, followed by `body`. */
function program(body: string, change = (code: string) => code): string {
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'lamella-gpu-'));
  const source = ts.transpileModule(readFileSync(join(root, 'src/platform/node-gpu.ts'), 'utf8'), { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } });
  writeFileSync(join(directory, 'node-gpu.mjs'), change(source.outputText));
  writeFileSync(join(directory, 'main.mjs'), `import { openNodeGpu } from './node-gpu.mjs';\n${body}`);
  return directory;
}

function run(directory: string, env: Record<string, string> = {}): Promise<{ code: number | string | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [join(directory, 'main.mjs')], { env: { ...process.env, ...env } });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => { output += data.toString(); });
    child.on('close', (code, signal) => resolve({ code: signal ?? code, output }));
  });
}

const say = 'await openNodeGpu(() => ({})).then(() => console.log("opened"), (error) => console.log(error.message));';
// A destroyed device has unmapped its buffers, which can be seen while the process ends.
const ending = `
const { device } = await openNodeGpu(() => ({}));
const buffer = device.createBuffer({ size: 16, usage: 8, mappedAtCreation: true });
console.log(buffer.mapState);
process.on('exit', () => console.log(buffer.mapState));
setTimeout(() => END, 20);`;

describe('without a GPU', () => {
  it('says which package is missing', async () => {
    const directory = program(say, (code) => code.replace("import('webgpu')", "import('webgpu-not-installed')"));
    expect((await run(directory)).output.trim()).toBe("WebGPU in Node needs the npm package 'webgpu', which is not installed: run `npm install webgpu`, or use another backend");
    rmSync(directory, { recursive: true });
  });

  it('says that no driver was found', async () => {
    const directory = program(say);
    expect((await run(directory, { VK_ICD_FILENAMES: '/nowhere.json', VK_DRIVER_FILES: '/nowhere.json' })).output).toContain("WebGPU found no GPU: install the GPU's Vulkan driver");
    rmSync(directory, { recursive: true });
  });
});

describe.skipIf(!gpuKind)(titled('the end of a process'), () => {
  // Dawn crashes where a device is still at work then: 16 of 50 times on SwiftShader.
  for (const [name, end, code] of [['exit()', 'process.exit(7)', 7], ['an uncaught error', "(() => { throw new Error('on purpose'); })()", 1], ['running out of work', '0', 0]] as const) {
    it(`by ${name} closes the GPU and keeps the exit code`, async () => {
      const directory = program(ending.replace('END', end));
      const result = await run(directory);
      expect(result.code).toBe(code);
      expect(result.output).toMatch(/^mapped\nunmapped\n/);
      rmSync(directory, { recursive: true });
    });
  }
});

describe.skipIf(!gpuKind || !modelDirectory('qwen3'))(titled('limits'), () => {
  let gpu: Gpu;
  beforeAll(async () => { gpu = await Gpu.open({ defaultLimits: true }); });
  afterAll(() => gpu.destroy());

  it("WebGPU's defaults suffice for a small model", async () => {
    const want = await loadReference('qwen3');
    const checkpoint = await openCheckpoint(await resolveSource(modelDirectory('qwen3')!));
    const engine = await Engine.open(checkpoint, new WebGpuBackend(gpu));
    expect(gpu.device.limits.maxStorageBufferBindingSize).toBe(128 * 2 ** 20);
    const sequence = engine.runner.sequence();
    const [logits] = await engine.runner.step([{ sequence, tokens: [1, 2, 3], logits: 'all' }]);
    expect(relativeError(logits, (await want.logits([1, 2, 3])).data)).toBeLessThan(1e-4);
    engine.dispose();
    await want.dispose();
    await checkpoint.close();
  });
});
