// A GPU with timestamps, for the benchmarks beside this file: the backend on it, the time of passes,
// and how fast a kernel reads.

import { create, globals } from 'webgpu';

Object.assign(globalThis, globals);
const { GPUBufferUsage, GPUMapMode } = globals;

/** Devices die with their instance, so it stays. */
let instance;

/** `from` imports a file of the built package; `toggles`: further Dawn features to enable, or with a minus to disable. */
export async function openDevice(from, toggles = []) {
  // Dawn rounds timestamps to 0.1 ms unless told not to.
  const off = toggles.filter((name) => name.startsWith('-')).map((name) => name.slice(1));
  instance = create([`disable-dawn-features=${['timestamp_quantization', ...off].join(',')}`, `enable-dawn-features=${['allow_unsafe_apis', 'vulkan_enable_f16_on_nvidia', ...toggles.filter((name) => !name.startsWith('-'))].join(',')}`]);
  const { WebGpuBackend } = await from('backends/webgpu/index.js');
  const { Gpu } = await from('backends/webgpu/gpu.js');
  const adapter = await instance.requestAdapter({ powerPreference: 'high-performance' });
  const wanted = Gpu.describe(adapter);
  const timed = adapter.features.has('timestamp-query');
  const device = await adapter.requestDevice({ ...wanted, requiredFeatures: [...(wanted.requiredFeatures ?? []), ...(timed ? ['timestamp-query'] : [])] });
  const gpu = await Gpu.on(adapter, device);
  const backend = new WebGpuBackend(gpu);

  /** Runs passes between timestamps; resolves with the milliseconds of each. */
  async function timePasses(passes) {
    const queries = device.createQuerySet({ type: 'timestamp', count: 2 * passes.length });
    const size = 16 * passes.length;
    const resolved = device.createBuffer({ size, usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC });
    const staging = device.createBuffer({ size, usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ });
    const encoder = device.createCommandEncoder();
    passes.forEach((encode, i) => {
      const pass = encoder.beginComputePass({ timestampWrites: { querySet: queries, beginningOfPassWriteIndex: 2 * i, endOfPassWriteIndex: 2 * i + 1 } });
      encode(pass);
      pass.end();
    });
    encoder.resolveQuerySet(queries, 0, 2 * passes.length, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(GPUMapMode.READ);
    const stamps = new BigUint64Array(staging.getMappedRange().slice(0));
    for (const buffer of [resolved, staging]) buffer.destroy();
    queries.destroy();
    return passes.map((_, i) => Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6);
  }

  /** Bytes per second of a kernel that reads 1 GiB. */
  async function bandwidth() {
    const bytes = Math.min(2 ** 30, device.limits.maxStorageBufferBindingSize - 12);
    const module = device.createShaderModule({ code: `@group(0) @binding(0) var<storage, read> w: array<vec4u>; @group(0) @binding(1) var<storage, read_write> o: array<u32>;
      @compute @workgroup_size(256) fn main(@builtin(global_invocation_id) g: vec3u, @builtin(num_workgroups) n: vec3u) {
        let T = n.x * 256u; let N = arrayLength(&w); var s = vec4u();
        for (var i = g.x; i < N; i += T * 4u) { s ^= w[i] ^ w[min(i + T, N - 1u)] ^ w[min(i + 2u * T, N - 1u)] ^ w[min(i + 3u * T, N - 1u)]; }
        if ((s.x ^ s.y ^ s.z ^ s.w) == 12345u) { o[0] = s.x; } }` });
    const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module } });
    const buffers = [bytes - (bytes % 16), 256].map((size) => device.createBuffer({ size, usage: GPUBufferUsage.STORAGE }));
    const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })) });
    const read = (pass) => { pass.setPipeline(pipeline); pass.setBindGroup(0, group); pass.dispatchWorkgroups(2112); };
    const times = await timePasses(Array.from({ length: 8 }, () => read));
    for (const buffer of buffers) buffer.destroy();
    return buffers[0].size / (Math.min(...times) / 1000);
  }

  return { adapter, gpu, backend, device, timed, timePasses, bandwidth };
}
