// Whether the GPU's matrix units can be trusted: an experimental feature, so what the adapter reports
// is tried on a small product before any kernel uses it.

import { bitsFromF32, byteLength } from '../../tensor/index.js';
import type { Operand } from '../../tensor/index.js';
import { MAP_READ_MODE, Usage } from './flags.js';
import type { Capabilities, Dispatch, MatrixUnit } from './kernel.js';
import { product } from './kernels/product.js';
import { assemble } from './template.js';

/** Chromium's and Dawn's; a browser shows it only with a flag, Dawn only where unsafe APIs are allowed. */
export const MATRIX_FEATURE = 'chromium-experimental-subgroup-matrix' as GPUFeatureName;

interface SubgroupMatrixConfig { readonly componentType: string; readonly resultType: string; readonly M: number; readonly N: number; readonly K: number }
interface MatrixInfo { readonly subgroupMatrixConfigs?: Iterable<SubgroupMatrixConfig>; readonly subgroupMinSize?: number; readonly subgroupMaxSize?: number }

/** Kernels' tiles are made of units of at most this size. */
const LARGEST_UNIT = 16;

/** What the adapter reports that kernels can use: f16 numbers, float32 sums, subgroups of one size. */
export function reportedUnits(info: MatrixInfo): MatrixUnit[] {
  const { subgroupMinSize: least, subgroupMaxSize: most } = info;
  if (!most || least !== most) return [];
  return [...info.subgroupMatrixConfigs ?? []]
    .filter(({ componentType, resultType, M, N, K }) => componentType === 'f16' && resultType === 'f32' && [M, N, K].every((n) => n % 8 === 0 && n <= LARGEST_UNIT))
    .sort((x, y) => y.M * y.N * y.K - x.M * x.N * x.K)
    .flatMap(({ M: m, N: n, K: k }) => [true, false].map((vectors) => ({ m, n, k, subgroup: most, vectors })));
}

/** The first unit whose product of small whole numbers is exact, as it must be. */
export async function workingUnit(device: GPUDevice, units: readonly MatrixUnit[], capabilities: Capabilities): Promise<MatrixUnit | undefined> {
  for (const unit of units) if (await multipliesExactly(device, { ...capabilities, matrix: unit })) return unit;
  return undefined;
}

/** Extents that no tile and no vector divides. */
const [M, N, K] = [70, 67, 72];

async function multipliesExactly(device: GPUDevice, capabilities: Capabilities): Promise<boolean> {
  const a = Float32Array.from({ length: M * K }, (_, i) => ((i * 7) % 17) - 8);
  const b = Float32Array.from({ length: N * K }, (_, i) => ((i * 5) % 13) - 6);
  const operand = (buffer: number, shape: readonly number[], dtype: 'f32' | 'f16'): Operand => ({ buffer, spec: { shape, dtype } });
  const out = operand(3, [M, N], 'f32');
  const dispatches = product({ m: M, n: N, k: K, a: operand(1, [M, K], 'f32'), b: operand(2, [N, K], 'f16'), out }, capabilities);
  const got = await run(device, dispatches, new Map<number, Float32Array | Uint16Array>([[1, a], [2, halvesOf(b)]]), out);
  return got !== undefined && got.every((value, i) => {
    const [row, column] = [Math.floor(i / N), i % N];
    let sum = 0;
    for (let k = 0; k < K; k++) sum += a[row * K + k] * b[column * K + k];
    return value === sum;
  });
}

/** f16 of whole numbers from -8 to 8. */
function halvesOf(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, (x) => {
    const bits = bitsFromF32(x);
    return x === 0 ? 0 : ((bits >>> 16) & 0x8000) | ((bits >>> 13) - (112 << 10) & 0x7fff);
  });
}

/** What the dispatches leave in `out`; undefined where the driver refuses any of it. */
async function run(device: GPUDevice, dispatches: readonly Dispatch[], inputs: ReadonlyMap<number, Float32Array | Uint16Array>, out: Operand): Promise<Float32Array | undefined> {
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
