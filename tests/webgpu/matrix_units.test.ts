// The kernels for matrix units, with loops in place of the units: their tiles, scales, gathered rows and
// masks. Whether a device's own units compute what they should is tried when it is opened.

import { compare, floats, gpuKind, integers, stored, titled } from './support.js';
import { withoutMatrixUnits } from './emulated_units.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Gpu } from '../../src/backends/webgpu/gpu.js';
import { WebGpuBackend } from '../../src/backends/webgpu/index.js';
import type { MatrixUnit } from '../../src/backends/webgpu/kernel.js';
import { reportedUnits } from '../../src/backends/webgpu/matrix_units.js';
import type { Attrs } from '../../src/tensor/index.js';

const UNIT: MatrixUnit = { m: 16, n: 16, k: 16, subgroup: 32, vectors: true, strideInNumbers: false, tall: true, attention: true };
/** What f16 leaves of activations and weights. */
const TOLERANCE = 1e-3;
const many = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const choices = integers([30, 2], many(0, 60).map((i) => Number(i % 7 > 4)));

/** A software driver takes its time to compile what holds whole matrices in a lane. */
const PATIENCE = { timeout: 240_000 };

describe.skipIf(!gpuKind)(titled('kernels for matrix units'), PATIENCE, () => {
  let backend: WebGpuBackend;
  let rewritten = 0;
  beforeAll(async () => {
    const gpu = await Gpu.open();
    const { device } = gpu;
    const create = device.createShaderModule.bind(device);
    device.createShaderModule = (descriptor) => {
      if (!/^enable f16/m.test(descriptor.code)) return create(descriptor);
      rewritten++;
      return create({ ...descriptor, code: withoutMatrixUnits(descriptor.code, UNIT.subgroup) });
    };
    gpu.capabilities = { ...gpu.capabilities, matrix: UNIT };
    backend = new WebGpuBackend(gpu, () => gpu.destroy());
  });
  afterAll(() => {
    expect(rewritten).toBeGreaterThan(0);
    backend.dispose();
  });

  it('linear with a bias, at extents that no tile divides', () => compare(backend, 'linear', [floats([33, 72]), stored({ shape: [70, 72], dtype: 'f16' }, 2), floats([70], 3)], {}, { tolerance: TOLERANCE }));
  it('linear of activations far beyond f16', () => compare(backend, 'linear', [floats([20, 64], 1, 1e6), stored({ shape: [67, 64], dtype: 'q8_0' }, 2)], {}, { tolerance: TOLERANCE }));
  it('linear with its sums divided over workgroups', () => compare(backend, 'linear', [floats([20, 600]), stored({ shape: [67, 600], dtype: 'bf16' }, 2)], {}, { tolerance: TOLERANCE }));
  it('experts, a row for all choices of a token', () => compare(backend, 'expert_linear', [floats([30, 32]), stored({ shape: [3, 20, 32], dtype: 'f16' }, 2), choices], {}, { tolerance: TOLERANCE }));
  it('experts, each choice with a row of its own', () => compare(backend, 'expert_linear', [floats([30, 2, 32]), stored({ shape: [3, 20, 32], dtype: 'f16' }, 2), choices], {}, { tolerance: TOLERANCE }));
  it('three products of the same rows, made f16 once', () => compare(backend, 'linear_group', [floats([20, 72]), ...[33, 70, 9].map((rows) => stored({ shape: [rows, 72], dtype: 'f16' }, rows))], {}, { tolerance: TOLERANCE }));
  it('a gated pair', () => compare(backend, 'linear_gated', [floats([20, 72]), stored({ shape: [70, 72], dtype: 'f16' }, 2), stored({ shape: [70, 72], dtype: 'f16' }, 3)], {}, { tolerance: TOLERANCE }));
  it('weights in whole steps, as they are stored', () => compare(backend, 'linear', [floats([70, 128]), stored({ shape: [130, 128], dtype: 'f16' }, 2), floats([130], 3)], {}, { tolerance: TOLERANCE }));
  it('weights made f16 once for many rows', () => compare(backend, 'linear', [floats([260, 96]), stored({ shape: [37, 96], dtype: 'q8_0' }, 2)], {}, { tolerance: TOLERANCE }));
  it('stored weights by their columns', () => compare(backend, 'matmul', [floats([30, 37]), stored({ shape: [37, 72], dtype: 'bf16' }, 2)], {}, { tolerance: TOLERANCE }));
  it('float32 weights are multiplied in float32', () => compare(backend, 'linear', [floats([33, 72]), floats([70, 72], 2)]));

  describe('where float32 may be rounded', () => {
    beforeAll(() => { backend.roundsFloats = true; });
    afterAll(() => { backend.roundsFloats = false; });
    it('linear with a bias', () => compare(backend, 'linear', [floats([33, 72]), floats([70, 72], 2), floats([70], 3)], {}, { tolerance: TOLERANCE }));
    it('the gradient of an input', () => compare(backend, 'matmul', [floats([33, 70], 1, 1e-9), floats([70, 72], 2)], {}, { tolerance: TOLERANCE }));
    it('the gradient of a weight, summed over rows in parts', () => compare(backend, 'matmul', [floats([600, 37], 1, 1e-9), floats([600, 70], 2, 1e6)], { transposeA: true }, { tolerance: TOLERANCE }));
  });

  const attention = (attrs: Attrs, pages = (seed: number) => floats([6, 1, 64, 16], seed), tolerance = TOLERANCE) => compare(backend, 'paged_attention', [
    floats([40, 2, 16], 1, 3), pages(2), pages(3), integers([40], many(150, 40)), integers([40], many(0, 40).fill(0)), integers([1, 4], [4, 1, 5, -1]),
  ], { scale: 0.25, valueDim: 16, ...attrs }, { tolerance });
  it('attention', () => attention({}));
  it('attention in a window', () => attention({ window: 20 }));
  it('attention in chunks', () => attention({ chunk: 48 }));
  it('attention over f16 pages', () => attention({}, (seed) => stored({ shape: [6, 1, 64, 16], dtype: 'f16' }, seed) as unknown as ReturnType<typeof floats>));
  it('attention over keys and values beyond f16', () => attention({ scale: 1e-6 }, (seed) => floats([6, 1, 64, 16], seed, 1e5)));
  // Scores of some tens: 2^-12 of them is a percent of a weight.
  it('attention with large scores, whose maximum is raised often', () => attention({ scale: 3 }, undefined, 1e-2));
  it('attention of two sequences and none in one tile', () => compare(backend, 'paged_attention', [
    floats([90, 2, 16], 1, 3), floats([6, 1, 64, 16], 2), floats([6, 1, 64, 16], 3), integers([90], [...many(20, 50), ...many(0, 5), ...many(0, 20), ...many(160, 15)]),
    integers([90], many(0, 90).map((i) => (i < 50 ? 0 : i < 55 ? -1 : 1))), integers([2, 4], [4, 1, -1, -1, 0, -1, 2, -1]),
  ], { scale: 0.3, valueDim: 16, window: 30 }, { tolerance: TOLERANCE }));
});

describe('matrix units that an adapter reports', () => {
  const config = (componentType: string, resultComponentType: string, side: number) => ({ componentType, resultComponentType, M: side, N: side, K: side });

  it('are taken largest first, where numbers are f16, sums f32, and subgroups of one size', () => {
    const configs = [config('f16', 'f32', 8), config('f16', 'f16', 16), config('f16', 'f32', 16), config('i8', 'i32', 16)];
    expect(reportedUnits({ subgroupMatrixConfigs: configs, subgroupMinSize: 32, subgroupMaxSize: 32 }).map(({ m, vectors }) => [m, vectors]))
      .toEqual([[16, true], [16, true], [16, false], [8, true], [8, true], [8, false]]);
    expect(reportedUnits({ subgroupMatrixConfigs: configs, subgroupMinSize: 8, subgroupMaxSize: 32 })).toEqual([]);
    expect(reportedUnits({})).toEqual([]);
  });
});
