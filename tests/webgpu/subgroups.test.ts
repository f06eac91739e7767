// What a driver says of its subgroups is tried before kernels rely on it.

import { gpuKind, titled } from './support.js';
import { afterEach, describe, expect, it } from 'vitest';
import { Gpu } from '../../src/backends/webgpu/gpu.js';
import { workingSubgroup } from '../../src/backends/webgpu/subgroups.js';

/** The trial's kernel, told that a subgroup is another than it is. */
const faults = {
  'lanes in another order': (code: string) => code.replace('place == lane % SUBGROUP', 'place == SUBGROUP - 1u - lane % SUBGROUP'),
  'sums of other lanes': (code: string) => code.replace('subgroupAdd(lane)', 'subgroupAdd(lane + group.x / 2u)'),
  'a kernel that the driver refuses': (code: string) => code.replace('let first', 'let first = nothing; let'),
};

describe.skipIf(!gpuKind)(titled('subgroups'), () => {
  let gpu: Gpu;
  afterEach(() => gpu.destroy());

  it('are used where they are what the adapter says', async () => {
    gpu = await Gpu.open();
    expect(gpu.capabilities.subgroupLanes).toBeGreaterThan(1);
    expect(await workingSubgroup(gpu.device, { subgroupMinSize: gpu.capabilities.subgroupLanes, subgroupMaxSize: 2 * gpu.capabilities.subgroupLanes })).toBe(1);
    expect(await workingSubgroup(gpu.device, { subgroupMinSize: 2 * gpu.capabilities.subgroupLanes, subgroupMaxSize: 2 * gpu.capabilities.subgroupLanes })).toBe(1);
  });

  it.each(Object.entries(faults))('are left alone where a trial finds %s', async (_, change) => {
    gpu = await Gpu.open();
    const { device, capabilities: { subgroupLanes } } = gpu;
    const create = device.createShaderModule.bind(device);
    let changed = 0;
    device.createShaderModule = ({ code }) => {
      if (change(code) !== code) changed++;
      return create({ code: change(code) });
    };
    expect(await workingSubgroup(device, { subgroupMinSize: subgroupLanes, subgroupMaxSize: subgroupLanes })).toBe(1);
    expect(changed).toBe(1);
  });
});
