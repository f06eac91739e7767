// `lamella doctor`: what this machine has, and whether each backend computes on it.

import { webAssemblyFeatures } from '../platform/index.js';
import type { WebAssemblyFeature } from '../platform/index.js';
import type { Command } from 'commander';
import { bytes, thousands } from './format.js';
import { Exit, oneLine, printJson } from './io.js';
import type { Io } from './io.js';
import type { SelfTest } from './selftest.js';
import { pairs } from './table.js';

export interface Diagnosis {
  readonly node: string;
  readonly platform: string;
  readonly cpu: { readonly model: string; readonly cores: number };
  readonly memory: { readonly total: number; readonly free: number };
  readonly webassembly: Readonly<Record<WebAssemblyFeature, boolean>>;
  readonly webgpu: { readonly available: boolean; readonly adapter?: string; readonly features?: readonly string[]; readonly reason?: string };
  readonly cache: { readonly path: string; readonly bytes: number; readonly models: number };
  readonly backends: readonly SelfTest[];
}

export function registerDoctor(program: Command, io: Io): void {
  program.command('doctor')
    .description('show what this machine has, and test each backend on it')
    .option('--json', 'print it as JSON')
    .addHelpText('after', `
A backend that this machine lacks the hardware or package for is reported, not a failure; one that
computes wrong results is, with exit code 1.

Example:
  $ lamella doctor`)
    .action(async (options: { json?: true }) => {
      const diagnosis = await diagnose();
      if (options.json) printJson(io, diagnosis);
      else io.stdout.write(`${diagnosisLines(diagnosis).join('\n')}\n`);
      const wrong = diagnosis.backends.find(({ ok, reason }) => !ok && reason?.includes('differs from the reference'));
      if (!wrong) return;
      io.stderr.write(`lamella: the ${wrong.name} backend computes wrong results here: ${wrong.reason}\n`);
      throw new Exit(1);
    });
}

export async function diagnose(): Promise<Diagnosis> {
  const { arch, cpus, freemem, totalmem, availableParallelism, type } = await import('node:os');
  const { backendNames } = await import('../engine/index.js');
  const { selfTest } = await import('./selftest.js');
  const backends: SelfTest[] = [];
  for (const name of backendNames) backends.push(await selfTest(name));
  return {
    node: process.version, platform: `${type()} ${arch()}`,
    cpu: { model: cpus()[0]?.model.trim() ?? 'unknown', cores: availableParallelism() },
    memory: { total: totalmem(), free: freemem() },
    webassembly: webAssemblyFeatures(), webgpu: await findGpu(), cache: await measureCache(), backends,
  };
}

async function findGpu(): Promise<Diagnosis['webgpu']> {
  try {
    const { nodeGpuAdapter } = await import('../platform/node-gpu.js');
    const adapter = await nodeGpuAdapter();
    const { vendor, architecture, device, description } = adapter.info;
    return { available: true, adapter: description || [vendor, architecture, device].filter(Boolean).join(' ') || 'unnamed', features: [...adapter.features].sort() };
  } catch (error) {
    return { available: false, reason: oneLine(error instanceof Error ? error.message : String(error)) };
  }
}

/** Size of the hub's cache, links not followed: contents lie in it once. */
async function measureCache(): Promise<Diagnosis['cache']> {
  const { getHFHubCachePath } = await import('@huggingface/hub');
  const { readdir, lstat } = await import('node:fs/promises');
  const { homedir } = await import('node:os');
  const { join, resolve } = await import('node:path');
  const path = resolve(getHFHubCachePath().replace(/^~(?=[/\\]|$)/, homedir()));
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => []);
  let total = 0;
  for (const entry of entries) if (entry.isFile()) total += (await lstat(join(entry.parentPath ?? entry.path, entry.name)).catch(() => ({ size: 0 }))).size;
  return { path, bytes: total, models: entries.filter((entry) => entry.isDirectory() && entry.name.startsWith('models--')).length };
}

export function diagnosisLines(d: Diagnosis): string[] {
  const features = Object.entries(d.webassembly).map(([name, has]) => `${name} ${has ? 'yes' : 'no'}`).join(', ');
  return [
    ...pairs([
      ['Node', `${d.node}, ${d.platform}`],
      ['CPU', `${d.cpu.model}, ${d.cpu.cores} cores`],
      ['memory', `${bytes(d.memory.total)}, ${bytes(d.memory.free)} free`],
      ['WebAssembly', features],
      ['WebGPU', d.webgpu.available ? d.webgpu.adapter! : `no: ${d.webgpu.reason}`],
      ['hub cache', `${d.cache.path}: ${d.cache.models === 0 ? 'empty' : `${thousands(d.cache.models)} models, ${bytes(d.cache.bytes)}`}`],
    ]),
    '',
    'backends',
    ...pairs(d.backends.map((backend) => [`  ${backend.name}`, verdict(backend, d.webgpu.reason)])),
  ];
}

function verdict({ ok, milliseconds, reason = '' }: SelfTest, gpu: string | undefined): string {
  if (ok) return `ok (${milliseconds.toFixed(0)} ms)`;
  // The line above has said it.
  return `not usable: ${oneLine(reason) === gpu ? 'no WebGPU' : oneLine(reason)}`;
}
