// How many workgroups run at the same time. WebGPU promises nothing, but on GPUs a workgroup that has begun
// goes on, so that those which have can wait for each other: chains of products do (see chain.wgsl).

import type { Operand } from '../../tensor/index.js';
import { tryOut } from './trial.js';

/** More than any GPU has processors. */
const MOST_GROUPS = 1024;
/** Looks that a workgroup takes while it waits for more to come: some milliseconds. */
const LOOKS = 5000;
/** Trials of which the fewest count. */
const TRIALS = 3;

/** Workgroups of `lanes` lanes that were seen to run at the same time, with registers for any kernel; 0 where none were. */
export async function runTogether(device: GPUDevice, lanes: number): Promise<number> {
  let fewest = MOST_GROUPS;
  for (let i = 0; i < TRIALS && fewest > 0; i++) {
    const count: Operand = { buffer: 1, spec: { shape: [MOST_GROUPS], dtype: 'f32' } };
    const state: Operand = { buffer: 2, spec: { shape: [66], dtype: 'i32' } };
    const found = await tryOut(device, [{ source: 'residency', writes: [count, state], reads: [], constants: [LOOKS, 0], groups: MOST_GROUPS, group: lanes }], new Map([[2, new Int32Array(66)]]), count);
    fewest = Math.min(fewest, found ? Math.max(...found) : 0);
  }
  return fewest;
}
