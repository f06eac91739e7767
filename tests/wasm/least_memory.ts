// The least memory in which a reference model runs, found by asking the planner.

import { openCheckpoint, resolveSource } from '../../src/checkpoint/index.js';
import { planBinding } from '../../src/engine/index.js';
import { planResidency, WORKSPACE_BYTES } from '../../src/engine/residency.js';
import type { Residency } from '../../src/engine/residency.js';
import type { LoadOptions } from '../../src/index.js';
import { buildModel } from '../../src/models/index.js';
import { modelDirectory } from '../support.js';

const streaming = { name: 'wasm', allocStreamed: () => [] };

/** Least memory for which `accepts` a plan. */
export async function leastMemory(name: string, accepts: (residency: Residency) => boolean, { weights }: LoadOptions = {}): Promise<number> {
  const checkpoint = await openCheckpoint(await resolveSource(modelDirectory(name)!));
  try {
    const { decoder } = buildModel(checkpoint.config);
    const block = (checkpoint.config.quantization_config as { weight_block_size?: [number, number] } | undefined)?.weight_block_size;
    const { targets } = planBinding(decoder, checkpoint.tensors, { weights, scaleBlock: block });
    let [low, high] = [WORKSPACE_BYTES, WORKSPACE_BYTES + 1e9];
    while (high - low > 64) {
      const middle = Math.floor((low + high) / 2);
      try {
        if (accepts(planResidency(decoder, targets, streaming, name, { memory: middle, contextLength: 64 }))) high = middle;
        else low = middle;
      } catch {
        low = middle;
      }
    }
    return high;
  } finally {
    await checkpoint.close();
  }
}
