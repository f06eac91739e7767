// attention over a step's own rows, its gradient and its largest scores: training's form.

import type { AttentionAttrs, Attrs, Operand, Spec } from '../../../tensor/index.js';
import { float, LANES, scratch } from '../kernel.js';
import type { Capabilities, Kernel } from '../kernel.js';
import { inFours, sumChoices } from './elementwise.js';

/** Rows of a workgroup, rows that it takes at a time, and whether its own stay in workgroup memory: the first that fits is taken. */
const TILES = [[32, 32, true], [32, 32, false], [32, 16, false]] as const;
/** Own rows of more pieces leave too little room for other workgroups beside this one. */
const MOST_KEPT = 2;
/** Own rows and others that a lane has of each. */
const EACH = 4;
const VECTOR_BYTES = 16;

const attrsOf = (attrs: Attrs): AttentionAttrs => attrs as AttentionAttrs & Attrs;
const lastAxis = ({ spec }: Operand): number => spec.shape.at(-1) ?? 1;

const accepts = (inputs: readonly Spec[]): boolean => inputs.every(({ dtype }) => dtype === 'f32' || dtype === 'i32');

/** Workgroup memory of row_tiles, and of what kernels keep beside it: a vector for each lane at most. */
function bytesOf(rows: number, columns: number, ownPieces: number): number {
  const stride = columns / EACH + 1;
  return VECTOR_BYTES * ((ownPieces * rows + columns + rows) * stride + (rows * columns) / EACH ** 2);
}

/** What all of them are compiled for. `gradient`: whether a kernel reads rows of four tensors, two of them its own. */
function compiled(q: Operand, v: Operand | undefined, attrs: Attrs, { workgroupBytes }: Capabilities, gradient = false) {
  const [HEAD, VALUE] = [lastAxis(q), v ? attrsOf(attrs).valueDim : EACH];
  const piecesOf = (columns: number): number => Math.ceil(HEAD / columns) + (gradient ? Math.ceil(VALUE / columns) : 0);
  const fits = ([rows, columns, kept]: (typeof TILES)[number]) => (kept ? piecesOf(columns) <= MOST_KEPT : true) && bytesOf(rows, columns, kept ? piecesOf(columns) : 1) <= workgroupBytes;
  const [ROWS, COLS, OWN_KEPT] = TILES.find(fits) ?? TILES[TILES.length - 1];
  const fours = [HEAD, VALUE, v ? lastAxis(v) : EACH].every((width) => width % EACH === 0);
  return {
    rows: ROWS,
    how: {
      parameters: { HEAD, VALUE, ROWS, COLS, OWN_KEPT, OWN_PIECES: OWN_KEPT ? piecesOf(COLS) : 1, HAS_VALUES: v !== undefined, HAS_SLOPES: gradient, READS: fours ? 'fours' : 'ones' },
      group: (ROWS * COLS) / EACH ** 2,
    },
  };
}

function mask(attrs: Attrs): number[] {
  const { window = 0, chunk = 0 } = attrsOf(attrs);
  return [window, chunk];
}

const attention: Kernel = {
  accepts,
  dispatch({ inputs, outputs, attrs }, _fault, device) {
    const [q, k, v] = inputs;
    const [tokens, heads] = q.spec.shape;
    const { rows, how } = compiled(q, v, attrs, device);
    return {
      ...how, source: 'row_attention', writes: outputs, reads: inputs,
      constants: [tokens, heads, k.spec.shape[1], lastAxis(v), ...mask(attrs), float(attrsOf(attrs).scale)], groups: Math.ceil(tokens / rows) * heads,
    };
  },
};

const attentionMax: Kernel = {
  accepts,
  dispatch({ inputs, outputs, attrs }, _fault, device) {
    const [q, k] = inputs;
    const [tokens, heads] = q.spec.shape;
    const { rows, how } = compiled(q, undefined, attrs, device);
    const tiles = Math.ceil(tokens / rows);
    const largest = scratch(0, { shape: [heads, tiles], dtype: 'f32' });
    return [
      { ...how, source: 'row_attention_max', writes: [largest], reads: inputs, constants: [tokens, heads, k.spec.shape[1], ...mask(attrs), float(attrsOf(attrs).scale)], groups: tiles * heads },
      { source: 'row_max', writes: outputs, reads: [largest], constants: [heads, tiles], groups: heads, group: LANES },
    ];
  },
};

const attentionGrad: Kernel = {
  accepts,
  dispatch({ inputs: [q, k, v, positions, starts, out, lse, dout], outputs: [dq, dk, dv], attrs }, _fault, device) {
    const [tokens, heads] = q.spec.shape;
    const keyHeads = k.spec.shape[1];
    const share = heads / keyHeads;
    const { rows, how } = compiled(q, v, attrs, device, true);
    const known = scratch(0, { shape: [tokens, heads, 4], dtype: 'f32' });
    const constants = [tokens, heads, keyHeads, lastAxis(v), float(attrsOf(attrs).scale)];
    const groups = Math.ceil(tokens / rows) * heads;
    // Where query heads share a key head, each has a sum of its own first: more workgroups, and none adds up long.
    const byHead = (index: number, of: Operand): Operand => (share === 1 ? of : scratch(index, { shape: [tokens, heads, lastAxis(of)], dtype: 'f32' }));
    const [dkByHead, dvByHead] = [byHead(1, dk), byHead(2, dv)];
    const { FOURS, numbers: [value] } = inFours([attrsOf(attrs).valueDim]);
    return [
      {
        source: 'row_attention_known', parameters: { FOURS }, writes: [known], reads: [positions, starts, out, lse, dout],
        constants: [tokens * heads, heads, value, ...mask(attrs)], groups: Math.ceil((tokens * heads) / LANES), group: LANES,
      },
      { ...how, source: 'row_attention_grad_queries', writes: [dq], reads: [q, k, v, dout, known], constants, groups },
      { ...how, source: 'row_attention_grad_keys', writes: [dkByHead, dvByHead], reads: [q, k, v, dout, known], constants, groups },
      ...(share === 1 ? [] : [sumChoices(dkByHead, dk, share), sumChoices(dvByHead, dv, share)]),
    ];
  },
};

export const rowAttentionKernels: Readonly<Record<string, Kernel>> = { attention, attention_max: attentionMax, attention_grad: attentionGrad };
