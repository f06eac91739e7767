// How a GPU lives in a process: what is said where there is none, and that a process which ends
// while its GPU is at work ends with its own exit code.

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
const busy = `
const { device } = await openNodeGpu(() => ({}));
const buffer = device.createBuffer({ size: 1 << 18, usage: 128 });
const code = '@group(0) @binding(0) var<storage, read_write> o: array<u32>; @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) g: vec3u) { for (var i = 0u; i < 20u; i++) { o[g.x] = o[g.x] * 3u + i; } }';
const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } });
const bindGroup = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [{ binding: 0, resource: { buffer } }] });
for (let n = 0; n < 50; n++) {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline); pass.setBindGroup(0, bindGroup); pass.dispatchWorkgroups(1 << 10); pass.end();
  device.queue.submit([encoder.finish()]);
}
void device.queue.onSubmittedWorkDone();
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
  for (const [name, end, code] of [['exit()', 'process.exit(7)', 7], ['an uncaught error', "(() => { throw new Error('on purpose'); })()", 1]] as const) {
    it(`by ${name} with work in flight`, async () => {
      const directory = program(busy.replace('END', end));
      const results = await Promise.all(Array.from({ length: 6 }, () => run(directory)));
      expect(results.map((r) => r.code)).toEqual(results.map(() => code));
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
