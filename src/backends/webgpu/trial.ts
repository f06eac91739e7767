// Dispatches on a bare device, before there is a backend: how what a driver reports is tried before any
// kernel relies on it.

import { byteLength } from '../../tensor/index.js';
import type { Operand } from '../../tensor/index.js';
import { FAULT_BINDING, MAP_READ_MODE, Usage } from './flags.js';
import type { Dispatch } from './kernel.js';
import { assemble } from './template.js';

/** Contents of a buffer. */
export type Values = Float32Array | Uint16Array | Int32Array;

/** What the dispatches leave in `out`; undefined where the driver refuses any of it. */
export async function tryOut(device: GPUDevice, dispatches: readonly Dispatch[], inputs: ReadonlyMap<number, Values>, out: Operand): Promise<Float32Array | undefined> {
  const buffers = new Map<number, GPUBuffer>();
  const made: GPUBuffer[] = [];
  const create = (size: number, usage: number): GPUBuffer => {
    made.push(device.createBuffer({ size: Math.ceil(size / 16) * 16, usage }));
    return made[made.length - 1];
  };
  const bufferOf = ({ buffer: id, spec }: Operand): GPUBuffer => {
    let found = buffers.get(id);
    if (!found) buffers.set(id, found = create(byteLength(spec), Usage.storage | Usage.copySource | Usage.copyTarget));
    return found;
  };
  const filters = ['validation', 'internal', 'out-of-memory'] as const;
  for (const filter of filters) device.pushErrorScope(filter);
  const staging = create(byteLength(out.spec), Usage.mapRead | Usage.copyTarget);
  const encoder = device.createCommandEncoder();
  for (const { source, parameters, group, groups, writes, reads, constants } of dispatches) {
    const code = assemble(source, { GROUP: group, ...parameters });
    const pipeline = device.createComputePipeline({ layout: 'auto', compute: { module: device.createShaderModule({ code }), entryPoint: 'main' } });
    const uniform = create(4 * constants.length, Usage.uniform | Usage.copyTarget);
    device.queue.writeBuffer(uniform, 0, new Uint32Array(constants));
    for (const operand of [...writes, ...reads]) {
      const values = inputs.get(operand.buffer);
      if (values) device.queue.writeBuffer(bufferOf(operand), 0, values as Float32Array<ArrayBuffer>);
    }
    const entries = [uniform, ...[...writes, ...reads].map(bufferOf)].map((buffer, binding) => ({ binding, resource: { buffer } }));
    if (code.includes(`@binding(${FAULT_BINDING})`)) entries.push({ binding: FAULT_BINDING, resource: { buffer: create(4, Usage.storage) } });
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(groups);
    pass.end();
  }
  encoder.copyBufferToBuffer(bufferOf(out), 0, staging, 0, byteLength(out.spec));
  device.queue.submit([encoder.finish()]);
  const errors = await Promise.all(filters.map(() => device.popErrorScope()));
  try {
    if (errors.some((error) => error)) return undefined;
    await staging.mapAsync(MAP_READ_MODE);
    return new Float32Array(staging.getMappedRange().slice(0, byteLength(out.spec)));
  } catch {
    return undefined;
  } finally {
    for (const buffer of made) buffer.destroy();
  }
}
