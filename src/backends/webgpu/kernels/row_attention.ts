// attention over a step's own rows, its gradient and its largest scores: training's form.

import type { Attrs, Operand, Spec } from '../../../tensor/index.js';
import { float, scratch } from '../kernel.js';
import type { Capabilities, Kernel } from '../kernel.js';

interface AttentionAttrs { scale: number; valueDim: number; window?: number; chunk?: number }

const GROUP = 128;
/** Lanes that share a row. */
const TEAM = 4;
const ROWS = GROUP / TEAM;
/** Rows whose products are added up between two barriers: BLOCK of the kernels. */
const BLOCK = 4;
const MOST_KEYS = 64;
/** Workgroup memory that is certain, and what of it products and reductions take. */
const CERTAIN_BYTES = 16384;
const PRODUCT_BYTES = 2 * BLOCK * GROUP * 4 + GROUP * 4;

const vectors = (width: number): number => Math.ceil(width / 4);

/** Rows that fit beside the products, in whole blocks. */
function rowsPerTile(vectorsPerRow: number, bytes: number): number {
  return Math.min(MOST_KEYS, Math.floor((bytes - PRODUCT_BYTES) / (16 * vectorsPerRow * BLOCK)) * BLOCK);
}

const attrsOf = (attrs: Attrs): AttentionAttrs => attrs as unknown as AttentionAttrs;
const widths = (q: Spec, attrs: Attrs): [head: number, value: number] => [q.shape[2], attrsOf(attrs).valueDim];

function accepts(inputs: readonly Spec[], attrs: Attrs): boolean {
  const [head, value] = widths(inputs[0], attrs);
  return inputs.every(({ dtype }) => dtype === 'f32' || dtype === 'i32') && rowsPerTile(vectors(head) + vectors(value) + 1, CERTAIN_BYTES) >= BLOCK;
}

/** What all of them are compiled for. `extra`: vectors kept per row beside its numbers. */
function compiled(q: Operand, attrs: Attrs, { workgroupBytes }: Capabilities, { values = true, extra = 0 } = {}) {
  const [HEAD, VALUE] = widths(q.spec, attrs);
  const KEYS = rowsPerTile(vectors(HEAD) + (values ? vectors(VALUE) : 0) + extra, workgroupBytes);
  return { parameters: { HEAD, VALUE, TEAM, KEYS, VALUES: values }, group: GROUP };
}

function masked(attrs: Attrs): number[] {
  const { window = 0, chunk = 0, scale } = attrsOf(attrs);
  return [window, chunk, float(scale)];
}

const attention: Kernel = {
  accepts,
  dispatch({ inputs, outputs, attrs }, _fault, device) {
    const [q, k, v] = inputs;
    const [tokens, heads] = q.spec.shape;
    return {
      ...compiled(q, attrs, device), source: 'row_attention', writes: outputs, reads: inputs,
      constants: [tokens, heads, k.spec.shape[1], v.spec.shape[2], ...masked(attrs)], groups: Math.ceil(tokens / ROWS) * heads,
    };
  },
};

const attentionMax: Kernel = {
  accepts,
  dispatch({ inputs, outputs, attrs }, _fault, device) {
    const [q, k] = inputs;
    const [tokens, heads] = q.spec.shape;
    const tiles = Math.ceil(tokens / ROWS);
    const largest = scratch(0, { shape: [heads, tiles], dtype: 'f32' });
    return [
      {
        ...compiled(q, attrs, device, { values: false }), source: 'row_attention_max', writes: [largest], reads: inputs,
        constants: [tokens, heads, k.spec.shape[1], ...masked(attrs)], groups: tiles * heads,
      },
      { source: 'row_max', writes: outputs, reads: [largest], constants: [heads, tiles], groups: heads, group: GROUP },
    ];
  },
};

const attentionGrad: Kernel = {
  accepts,
  dispatch({ inputs: [q, k, v, positions, starts, dout], outputs: [dq, dk, dv], attrs }, _fault, device) {
    const [tokens, heads] = q.spec.shape;
    const keyHeads = k.spec.shape[1];
    const kept = scratch(0, { shape: [tokens, heads, 4], dtype: 'f32' });
    const shape = [tokens, heads, keyHeads, v.spec.shape[2]];
    const tiles = Math.ceil(tokens / ROWS);
    return [
      {
        ...compiled(q, attrs, device), source: 'row_attention_grad_queries', writes: [dq, kept], reads: [q, k, v, positions, starts, dout],
        constants: [...shape, ...masked(attrs)], groups: tiles * heads,
      },
      {
        ...compiled(q, attrs, device, { extra: 1 }), source: 'row_attention_grad_keys', writes: [dk, dv], reads: [q, k, v, dout, kept],
        constants: [...shape, float(attrsOf(attrs).scale)], groups: tiles * keyHeads,
      },
    ];
  },
};

export const rowAttentionKernels: Readonly<Record<string, Kernel>> = { attention, attention_max: attentionMax, attention_grad: attentionGrad };
