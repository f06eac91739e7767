// sample: see kernels/sampling.ts.

import { Kernel } from '../abi.js';
import { byRows, whole, written } from '../task.js';
import type { Ref } from '../task.js';
import type { Lowering } from './lowering.js';

/** Parts of a row, which threads share: one row alone keeps several at work. */
const PARTS = 16;
const PART_BYTES = 16;

const sample: Lowering = {
  supports: () => true,
  lower({ inputs: [logits, tokens, positions, slots, temperatures, seeds] }, { temporary }) {
    const [R, V] = logits.spec.shape;
    const best: Ref = { slot: temporary(R * PARTS * PART_BYTES), spec: { shape: [R * PARTS, PART_BYTES / 4], dtype: 'f32' } };
    const byRow: Ref = { ...best, spec: { shape: [R, (PARTS * PART_BYTES) / 4], dtype: 'f32' } };
    return [
      {
        kernel: Kernel.sample_parts, rows: R * PARTS, columns: 1, grain: 1, work: R * V,
        operands: [...[logits, positions, slots, temperatures, seeds].map(whole), written(byRows(best))], numbers: [V, PARTS],
      },
      {
        kernel: Kernel.sample, rows: R, columns: 1, grain: 1, work: R * PARTS,
        operands: [byRows(byRow), written(byRows(tokens)), written(byRows(positions)), byRows(slots)], numbers: [PARTS],
      },
    ];
  },
};

export const sampling = { sample };
