// WebGPU in Node: the npm package `webgpu` (Dawn), which is an optional peer dependency.

interface Dawn { create(options: string[]): GPU }

// Dawn's instance must outlive every adapter and device made from it.
let instance: GPU | undefined;

/** The best GPU; rejects with one sentence that says what is missing. */
export async function nodeGpuAdapter(): Promise<GPUAdapter> {
  instance ??= (await loadDawn()).create([]);
  const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter) return adapter;
  throw new Error("WebGPU found no GPU adapter: install the GPU's Vulkan driver (libvulkan.so.1 and its ICD file), or point VK_ICD_FILENAMES at a software driver such as SwiftShader, or use another backend");
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
