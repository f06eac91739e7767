// From ops to tasks: one entry per op that has kernels here.

import { attention } from './attention.js';
import { gradients } from './gradients.js';
import type { Lowering } from './lowering.js';
import { matrices } from './matrices.js';
import { norms } from './norms.js';
import { pointwise } from './pointwise.js';
import { positions } from './positions.js';
import { routing } from './routing.js';
import { rowAttention } from './row_attention.js';
import { rows } from './rows.js';
import { sampling } from './sampling.js';

export const lowerings: ReadonlyMap<string, Lowering> = new Map(
  [pointwise, norms, matrices, rows, routing, positions, attention, gradients, rowAttention, sampling].flatMap((group) => Object.entries<Lowering>(group)),
);
