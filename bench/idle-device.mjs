// A WebGPU device that does nothing, says that it is an H100, and counts what it is asked for. Its buffers
// read as zeros.

/** What an adapter with `device` tells of itself. */
export const idleAdapter = { info: {} };
/** What the library finds on an H100, where nothing can be tried. */
export const foundOnH100 = { subgroupLanes: 32, matrix: { m: 16, n: 16, k: 16, subgroup: 32, vectors: true, strideInNumbers: true, tall: true, attention: true } };

/** `counts` of all that was asked, and bytes of the buffers that are alive. `reset()` begins at zero again, but for the bytes. */
export function idleDevice() {
  const zeros = { buffers: 0, madeBytes: 0, destroyed: 0, bindGroups: 0, dispatches: 0, submissions: 0, inFirstSubmission: 0 };
  const counts = { ...zeros, liveBytes: 0 };
  const nothing = () => ({});
  const pass = { setPipeline() {}, setBindGroup() {}, dispatchWorkgroups() { counts.dispatches++; }, end() {} };
  const buffer = (size) => {
    counts.buffers++;
    counts.madeBytes += size;
    counts.liveBytes += size;
    let alive = true;
    return {
      size, mapAsync: async () => {}, getMappedRange: (_, bytes) => new ArrayBuffer(bytes), unmap() {},
      destroy() {
        counts.destroyed++;
        if (alive) counts.liveBytes -= size;
        alive = false;
      },
    };
  };
  const device = {
    limits: { maxStorageBufferBindingSize: 2 ** 31 - 4, maxBufferSize: 2 ** 35, maxComputeWorkgroupStorageSize: 49152, maxStorageBuffersPerShaderStage: 16, maxComputeWorkgroupsPerDimension: 65535 },
    features: new Set(), lost: new Promise(() => {}),
    createBuffer: ({ size }) => buffer(size),
    createBindGroup() { counts.bindGroups++; return {}; },
    createBindGroupLayout: nothing, createPipelineLayout: nothing, createShaderModule: nothing, createComputePipeline: nothing,
    createCommandEncoder: () => ({ beginComputePass: () => pass, finish: nothing, copyBufferToBuffer() {}, clearBuffer() {} }),
    pushErrorScope() {}, popErrorScope: async () => null, destroy() {},
    queue: {
      writeBuffer() {}, onSubmittedWorkDone: async () => {},
      submit() { if (counts.submissions++ === 0) counts.inFirstSubmission = counts.dispatches; },
    },
  };
  return { device, counts, reset: () => { Object.assign(counts, zeros); } };
}
