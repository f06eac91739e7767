// Kernels with a workgroup per row: norms, softmax, and the router's choice.

import type { Call, DType, Operand, TopKAttrs } from '../../../tensor/index.js';
import { float, LANES, rowsAndColumns, typed } from '../kernel.js';
import type { Dispatch, Kernel } from '../kernel.js';

/** Long rows get more lanes; 256 is what every adapter has. */
const lanesFor = (columns: number): number => (columns > 256 ? 256 : LANES);

function rowwise(source: string, types: readonly DType[], constants: (attrs: Record<string, number>) => number[]): Kernel {
  return {
    accepts: typed(types),
    dispatch(call: Call) {
      const { rows, columns } = rowsAndColumns(call.inputs[0]);
      return {
        source, writes: call.outputs, reads: call.inputs,
        constants: [rows, columns, ...constants(call.attrs as Record<string, number>)], groups: rows, group: lanesFor(columns),
      };
    },
  };
}

/** Numbers of a row that a lane takes at least. */
const EACH = 4;

/** Lanes that share a row of so many numbers, of how many in a workgroup, and how many workgroups all rows take. */
export function teamsFor(rows: number, columns: number): { TEAM: number; group: number; groups: number } {
  const TEAM = Math.min(256, Math.max(8, 2 ** Math.ceil(Math.log2(columns / EACH))));
  const group = Math.max(TEAM, LANES);
  return { TEAM, group, groups: Math.ceil(rows / (group / TEAM)) };
}

const rmsNorm: Kernel = {
  accepts: typed(['f32', 'f32'], 1),
  dispatch({ inputs, outputs, attrs }) {
    const { rows, columns } = rowsAndColumns(inputs[0]);
    const { TEAM, group, groups } = teamsFor(rows, columns);
    return {
      source: 'rms_norm', parameters: { WEIGHT: inputs.length > 1, TEAM }, writes: outputs, reads: inputs, constants: [rows, columns, ...rms(attrs as Record<string, number>)], groups, group,
    };
  },
};

const MOST_SPAN = 8;

/** As `rowwise`; rows of up to 8192 numbers are read once, in vectors. */
const addRmsNorm: Kernel = {
  accepts: typed(['f32', 'f32', 'f32']),
  dispatch({ inputs, outputs, attrs }) {
    const { rows, columns } = rowsAndColumns(inputs[0]);
    const group = lanesFor(columns);
    const SPAN = Math.ceil(columns / 4 / group);
    return {
      source: 'add_rms_norm', parameters: { SPAN, FOURS: columns % 4 === 0 && SPAN <= MOST_SPAN }, writes: outputs, reads: inputs,
      constants: [rows, columns, ...rms(attrs as Record<string, number>)], groups: rows, group,
    };
  },
};

/** A row and its ranks lie in workgroup memory, of which 16 KiB are certain. */
const MOST_CHOICES = 1536;

/** With `softmax`, of what that makes of each row. */
const topK = (softmax: boolean): Kernel => ({
  accepts: ([x]) => x.dtype === 'f32' && x.shape[1] <= MOST_CHOICES,
  dispatch(call, _, { subgroupLanes }) {
    const SUBGROUP = subgroupLanes <= LANES ? subgroupLanes : 1;
    const { rows, columns } = rowsAndColumns(call.inputs[0]);
    const { k, groups = 1, groupsPicked = groups, groupScore = 'sum2', normalize = false, epsilon = 0 } = call.attrs as unknown as TopKAttrs & { normalize?: boolean; epsilon?: number };
    return {
      source: 'top_k', parameters: { COLUMNS: columns, GROUPS: groups, SUM2: groupScore === 'sum2', SOFTMAX: softmax, NORMALIZE: normalize, SUBGROUP, SUBGROUPS: SUBGROUP > 1 },
      writes: call.outputs, reads: call.inputs, constants: [rows, k, groupsPicked, float(epsilon)], groups: rows, group: columns > 2 * LANES ? 256 : 2 * LANES,
    };
  },
});

/** A head lies in workgroup memory. */
const MOST_HEAD = 2048;

/** The attributes of a norm and rotation of heads. */
export type HeadNorm = RmsNorm & { layout: string; amplitude: number; inverse?: boolean };
interface RmsNorm { eps: number; offset: number }

/** The heads of one tensor, or of two with norms of their own. */
function rotatedHeads(heads: readonly Operand[], call: Call): Dispatch {
  const { layout, amplitude, inverse, eps, offset } = call.attrs as unknown as HeadNorm;
  const [[tokens, first, width], more] = [heads[0].spec.shape, heads[1]?.spec.shape[1] ?? 0];
  const frequencies = call.inputs[call.inputs.length - 1].spec.shape[0];
  return {
    source: 'rms_norm_rope', parameters: { HEAD: width, INTERLEAVED: layout === 'interleaved', PAIR: heads.length === 2 }, writes: call.outputs, reads: call.inputs,
    constants: [tokens * first, first, tokens * more, more, frequencies, float(eps), float(offset), float(amplitude), float(inverse ? -1 : 1)], groups: tokens * (first + more), group: LANES,
  };
}

const rmsNormRope: Kernel = {
  accepts: (inputs) => typed(['f32', 'f32', 'i32', 'f32'])(inputs) && inputs[0].shape[2] <= MOST_HEAD,
  dispatch: (call) => rotatedHeads([call.inputs[0]], call),
};

const rmsNormRopePair: Kernel = {
  accepts: (inputs) => typed(['f32', 'f32', 'f32', 'f32', 'i32', 'f32'])(inputs) && inputs[0].shape[2] === inputs[1].shape[2] && inputs[0].shape[2] <= MOST_HEAD,
  dispatch: (call) => rotatedHeads(call.inputs.slice(0, 2), call),
};

/** Storage buffers that its kernel binds. */
const APPEND_BUFFERS = 12;

const rmsNormRopeAppend: Kernel = {
  accepts: ([q, k, qWeight, kWeight, positions, frequencies, keys, values, v, slots, table], _, { storageBuffers }) => storageBuffers >= APPEND_BUFFERS
    && typed(['f32', 'f32', 'f32', 'f32', 'i32', 'f32', 'f32', 'i32', 'i32'])([q, k, qWeight, kWeight, positions, frequencies, v, slots, table])
    && ['f32', 'f16'].includes(keys.dtype) && keys.dtype === values.dtype && keys.shape.join() === values.shape.join()
    && q.shape[2] === k.shape[2] && q.shape[2] % 2 === 0 && q.shape[2] <= MOST_HEAD,
  dispatch({ inputs: [q, k, qWeight, kWeight, positions, frequencies, keys, values, v, slots, table], outputs, attrs }, _, { subgroupLanes }) {
    const { layout, amplitude, inverse, eps, offset } = attrs as unknown as HeadNorm;
    const [tokens, heads, width] = q.spec.shape;
    const kvHeads = k.spec.shape[1];
    const SUBGROUP = subgroupLanes <= LANES ? subgroupLanes : 1;
    return {
      source: 'rms_norm_rope_append', writes: [...outputs, keys, values], reads: [q, k, v, qWeight, kWeight, positions, frequencies, slots, table],
      parameters: { HEAD: width, HALF: keys.spec.dtype === 'f16', INTERLEAVED: layout === 'interleaved', SUBGROUP, SUBGROUPS: SUBGROUP > 1 },
      constants: [tokens, heads, kvHeads, frequencies.spec.shape[0], float(eps), float(offset), float(amplitude), float(inverse ? -1 : 1), table.spec.shape[1]],
      groups: tokens * (heads + 2 * kvHeads), group: LANES,
    };
  },
};

const rms = ({ eps, offset }: Record<string, number>) => [float(eps), float(offset)];

export const rowKernels: Readonly<Record<string, Kernel>> = {
  rms_norm: rmsNorm,
  add_rms_norm: addRmsNorm,
  rms_norm_rope: rmsNormRope,
  rms_norm_rope_pair: rmsNormRopePair,
  rms_norm_rope_append: rmsNormRopeAppend,
  layer_norm: rowwise('layer_norm', ['f32', 'f32', 'f32'], ({ eps }) => [float(eps)]),
  softmax: rowwise('softmax', ['f32'], () => []),
  normalize_sum: rowwise('normalize_sum', ['f32'], ({ epsilon }) => [float(epsilon)]),
  top_k: topK(false),
  softmax_top_k: topK(true),
};
