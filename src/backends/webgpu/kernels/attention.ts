// Kernels over the paged key/value cache.

import type { Attrs, Mask } from '../../../tensor/index.js';
import { count, float, LANES, typed } from '../kernel.js';
import type { Kernel } from '../kernel.js';

const noPage = (position: number): string => `no page for position ${position}`;

const kvAppend: Kernel = {
  accepts: typed(['f32', 'f32', 'i32', 'i32', 'i32']),
  dispatch({ inputs: [store, ...rest] }, fault) {
    const [rows, , , table] = rest;
    const n = count(rows);
    return {
      source: 'kv_append', writes: [store], reads: rest, constants: [n, n / rows.spec.shape[0], table.spec.shape[1], fault],
      groups: Math.ceil(n / LANES), group: LANES,
    };
  },
  fault: noPage,
};

const pagedAttention: Kernel = {
  accepts: typed(['f32', 'f32', 'f32', 'i32', 'i32', 'i32']),
  dispatch({ inputs, outputs, attrs }, fault) {
    const [q, k, v, , , table] = inputs;
    const [tokens, heads, width] = q.spec.shape;
    const { scale, valueDim, window = 0, chunk = 0 } = attrs as { scale: number; valueDim: number } & Mask & Attrs;
    return {
      source: 'paged_attention', parameters: { HEAD: width, VALUE: valueDim }, writes: outputs, reads: inputs,
      constants: [tokens, heads, k.spec.shape[2], v.spec.shape[3], table.spec.shape[1], window, chunk, fault, float(scale)],
      groups: tokens * heads, group: LANES,
    };
  },
  fault: noPage,
};

export const attentionKernels: Readonly<Record<string, Kernel>> = { kv_append: kvAppend, paged_attention: pagedAttention };
