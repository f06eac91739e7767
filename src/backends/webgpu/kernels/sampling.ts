// The kernel that draws the next token: parts of a row of logits side by side, then the best of all parts.

import { LANES, scratch, typed } from '../kernel.js';
import type { Kernel } from '../kernel.js';

const PART_LANES = 256;
/** Logits that a lane looks at. */
const PER_LANE = 16;

const sample: Kernel = {
  accepts: typed(['f32', 'i32', 'i32', 'i32', 'f32', 'i32']),
  dispatch({ inputs: [logits, tokens, positions, slots, temperatures, seeds] }) {
    const [rows, columns] = logits.spec.shape;
    const parts = Math.ceil(columns / (PART_LANES * PER_LANE));
    const best = scratch(0, { shape: [rows, parts, 2], dtype: 'i32' });
    return [
      { source: 'sample_parts', writes: [best], reads: [logits, positions, slots, temperatures, seeds], constants: [rows, columns, parts], groups: rows * parts, group: PART_LANES },
      { source: 'sample', writes: [tokens, positions], reads: [best, slots], constants: [rows, parts], groups: rows, group: LANES },
    ];
  },
};

export const samplingKernels: Readonly<Record<string, Kernel>> = { sample };
