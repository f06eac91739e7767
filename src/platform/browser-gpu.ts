// WebGPU in a browser (page or worker).

import type { OpenGpu } from './platform.js';

/** Opens the best GPU; rejects with one sentence that says what is missing. */
export const openBrowserGpu: OpenGpu = async (describe) => {
  const gpu = globalThis.navigator?.gpu as GPU | undefined;
  if (!gpu) throw new Error('this browser offers no WebGPU here: use a recent Chrome, Edge, Safari or Firefox over https or localhost, or use another backend');
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('this browser has WebGPU but found no usable GPU: turn on hardware acceleration or update the graphics driver, or use another backend');
  return { adapter, device: await adapter.requestDevice(describe(adapter)) };
};
