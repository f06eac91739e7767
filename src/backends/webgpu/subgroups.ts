// Whether subgroups are what kernels take them for: of one size, their lanes neighbours and in order. WebGPU
// promises neither, so both are tried; where they do not hold, kernels go through workgroup memory.

import type { Operand } from '../../tensor/index.js';
import { tryOut } from './trial.js';

const LANES = 256;
/** Workgroups that are looked at: drivers might arrange them differently. */
const GROUPS = 3;

/** Lanes of every subgroup; 1 where the adapter does not say, or what it says is not so. */
export async function workingSubgroup(device: GPUDevice, { subgroupMinSize = 1, subgroupMaxSize }: Pick<GPUAdapterInfo, 'subgroupMinSize' | 'subgroupMaxSize'>): Promise<number> {
  if (!device.features.has('subgroups') || subgroupMinSize !== subgroupMaxSize || subgroupMinSize > LANES) return 1;
  const out: Operand = { buffer: 1, spec: { shape: [GROUPS * LANES], dtype: 'f32' } };
  const found = await tryOut(device, [{ source: 'subgroup_order', parameters: { SUBGROUP: subgroupMinSize }, writes: [out], reads: [], constants: [GROUPS * LANES], groups: GROUPS, group: LANES }], new Map(), out);
  return found?.every((value) => value === 1) ? subgroupMinSize : 1;
}
