// WebGPU in Node: the npm package `webgpu` (Dawn), which is an optional peer dependency.

import type { OpenGpu } from './platform.js';

interface Dawn { create(options: string[]): GPU }

/** Matrix units are experimental, which Dawn calls unsafe; f16 is off on NVIDIA's drivers for faults of older ones. Both are tried before use. */
const DAWN_FEATURES = ['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia'];

// Dawn's instance must outlive every adapter and device made from it.
let instance: GPU | undefined;
const open = new Set<GPUDevice>();

/** The best GPU; rejects with one sentence that says what is missing. */
export async function nodeGpuAdapter(): Promise<GPUAdapter> {
  instance ??= (await loadDawn()).create([`enable-dawn-features=${DAWN_FEATURES.join(',')}`]);
  const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter) return adapter;
  throw new Error("WebGPU found no GPU: install the GPU's Vulkan driver (libvulkan.so.1 and its ICD file), or point VK_ICD_FILENAMES at a software driver such as SwiftShader, or use another backend");
}

export const openNodeGpu: OpenGpu = async (describe) => {
  const adapter = await nodeGpuAdapter();
  const device = await adapter.requestDevice(describe(adapter));
  closeAtExit(device);
  return { adapter, device };
};

/** Dawn crashes a process that ends, by exit() or an uncaught error, while its GPU is at work. */
function closeAtExit(device: GPUDevice): void {
  if (open.size === 0) process.on('exit', closeAll);
  open.add(device);
  void device.lost.then(() => {
    open.delete(device);
    if (open.size === 0) process.off('exit', closeAll);
  });
}

function closeAll(): void {
  for (const device of open) device.destroy();
}

async function loadDawn(): Promise<Dawn> {
  try {
    return await import('webgpu');
  } catch (cause) {
    const missing = (cause as { code?: string }).code === 'ERR_MODULE_NOT_FOUND';
    throw new Error(missing
      ? "WebGPU in Node needs the npm package 'webgpu', which is not installed: run `npm install webgpu`, or use another backend"
      : `the npm package 'webgpu' cannot be loaded here (${cause instanceof Error ? cause.message : String(cause)}): reinstall it, or use another backend`, { cause });
  }
}
