// Calls for one token that one dispatch computes behind each other (see chain.wgsl): what a call is as a stage,
// how a stage is dealt to workgroups and lanes, and the dispatch of several.

import type { Attrs, BufferId, Call, DType, Operand } from '../../../tensor/index.js';
import { byteLength } from '../../../tensor/index.js';
import { count, float, scratch } from '../kernel.js';
import type { Capabilities, Dispatch } from '../kernel.js';
import { isPacked } from '../packing.js';
import type { Parameters } from '../template.js';
import { attentionKernels } from './attention.js';

/** A product as a stage of a chain, the choice of experts, or the end of attention. */
export interface Stage {
  readonly x: Operand;
  /** Of products alone. */
  readonly matrices: readonly Operand[];
  readonly norm?: { readonly weight: Operand; readonly eps: number; readonly offset: number };
  readonly add?: Operand;
  /** Silu of the first product times the second. */
  readonly gated?: boolean;
  /** The experts whose matrices it goes through, and with `weights` the sum of what comes out. */
  readonly indices?: Operand;
  readonly weights?: Operand;
  /** The splits of attention, which another dispatch leaves just before the chain's, are put together. */
  readonly merge?: { readonly splits: number; readonly value: number; before(fault: number): Dispatch };
  readonly choice?: { readonly k: number; readonly normalize: boolean; readonly epsilon: number };
  readonly outputs: readonly Operand[];
}

/** Columns of 16 bytes of a matrix; of 32 in float32. */
const PIECE_COLUMNS: Partial<Readonly<Record<DType, number>>> = { f32: 8, f16: 8, q8_0: 16, q4_0: 32 };
/** Numbers that lie together in the exchange, and rows of x must be whole groups of. */
const PLACES = 128;
/** Pieces of a row that a lane holds: registers for more are not certain. */
const MOST_PIECES = 4;
/** More lanes share a row if so many times as much of the last round is in use. */
const WORTH_MORE_LANES = 1.1;
/** Bindings begin at such numbers of f32. */
const ALIGNED = 64;
/** Looks after which a workgroup no longer waits for others: about a second on a GPU. */
const MOST_LOOKS = 2 ** 20;
/** Scratch memory that no other call of a plan uses. */
export const EXCHANGE = 10;

const roundUp = (n: number, unit: number): number => Math.ceil(n / unit) * unit;

/** The call as a stage; undefined where chains cannot compute it. */
export function stageOf(call: Call, device: Capabilities): Stage | undefined {
  const stage = merged(call, device) ?? described(call);
  if (!stage || !device.together) return undefined;
  const { x, matrices, add, norm, indices, choice, merge, outputs } = stage;
  if (merge) return stage;
  if (choice) return x.spec.shape[0] === 1 && count(x) % 4 === 0 && count(x) <= device.together.lanes ? stage : undefined;
  const [{ spec: { shape, dtype } }] = matrices;
  const columns = shape[shape.length - 1];
  const rowsOfX = stage.weights ? count(indices!) : 1;
  const fits = PIECE_COLUMNS[dtype] !== undefined && columns % PLACES === 0 && count(x) === rowsOfX * columns
    && (!indices || indices.spec.shape[0] === 1)
    && matrices.every(({ spec }) => spec.dtype === dtype && spec.shape.at(-1) === columns && byteLength(spec) <= device.bindingBytes && (dtype === 'f16' || dtype === 'f32' || (device.integerProducts && isPacked(spec))))
    && [x, add, norm?.weight, stage.weights, ...outputs].every((operand) => !operand || operand.spec.dtype === 'f32')
    && (matrices.length < 3 || device.together.groups >= 3);
  return fits && dealt(stage, device) ? stage : undefined;
}

/** Attention of one token as the dispatch that splits it and a stage that puts the splits together. */
function merged(call: Call, device: Capabilities): Stage | undefined {
  const kernel = Object.hasOwn(attentionKernels, call.op) ? attentionKernels[call.op] : undefined;
  if (call.outputs[0]?.spec.shape[0] !== 1 || !kernel?.accepts(call.inputs.map(({ spec }) => spec), call.attrs, device)) return undefined;
  const dispatches = [kernel.dispatch(call, 0, device)].flat();
  const { source, parameters, reads: [x] } = dispatches[dispatches.length - 1];
  if (source !== 'paged_attention_merge') return undefined;
  return {
    x, matrices: [], outputs: call.outputs,
    merge: { splits: Number(parameters!.SPLITS), value: Number(parameters!.VALUE), before: (fault) => [kernel.dispatch(call, fault, device)].flat()[0] },
  };
}

function described({ op, inputs, attrs, outputs }: Call): Stage | undefined {
  const normed = op.startsWith('norm_');
  const [x, ...rest] = inputs;
  const norm = normed ? { weight: rest.shift()!, ...(attrs as Attrs & { eps: number; offset: number }) } : undefined;
  const common = { x, outputs, ...(norm && { norm }) };
  switch (normed ? op.slice('norm_'.length) : op) {
    case 'softmax_top_k': return { x, outputs, matrices: [], choice: attrs as Attrs & NonNullable<Stage['choice']> };
    case 'linear': return rest.length === 1 ? { ...common, matrices: rest } : undefined;
    case 'linear_add': return { ...common, matrices: [rest[0]], add: rest[1] };
    case 'linear_group': return { ...common, matrices: rest };
    case 'linear_gated': return { ...common, matrices: rest, gated: true };
    case 'expert_linear_gated': return { ...common, matrices: rest.slice(0, 2), indices: rest[2], gated: true };
    case 'expert_combine': return { ...common, matrices: [rest[0]], indices: rest[1], weights: rest[2], ...(rest[3] && { add: rest[3] }) };
    default: return undefined;
  }
}

interface Deal { readonly staged: number; readonly blocks: number; readonly parts: number; readonly choices: number; readonly parameters: Parameters }

/** How a stage is dealt to workgroups, teams and lanes, and what it keeps in their memory; undefined where a lane would hold too much. */
function dealt({ x, matrices, gated, indices, weights, choice, merge, outputs }: Stage, { together, subgroupLanes }: Capabilities): Deal | undefined {
  const { groups, lanes } = together!;
  if (merge) {
    const parameters = { FILE: 'chain_merge', QUADS: count(outputs[0]) / 4, SPLITS: merge.splits, VALUE: merge.value, EACH: Math.ceil(merge.splits / subgroupLanes) };
    return { staged: 0, blocks: 0, parts: 0, choices: 0, parameters };
  }
  if (choice) {
    const COLUMNS = count(x);
    const SHARE = Math.min(8, 2 ** Math.floor(Math.log2(lanes / COLUMNS)));
    return { staged: 0, blocks: 0, parts: COLUMNS, choices: choice.k, parameters: { FILE: 'chain_choice', COLUMNS, SHARE, K: choice.k, NORMALIZE: choice.normalize } };
  }
  const [{ spec: { shape, dtype } }] = matrices;
  const columns = shape[shape.length - 1];
  const choices = indices ? count(indices) : 1;
  const xColumns = weights ? choices * columns : columns;
  const rows = matrices.map(({ spec }) => spec.shape.at(-2)! * (gated ? choices : 1));
  const pieces = xColumns / PIECE_COLUMNS[dtype]!;
  // The workgroups of three matrices by their rows.
  const total = rows.reduce((a, b) => a + b);
  const SECOND = rows.length === 3 ? Math.min(Math.max(Math.round((groups * rows[0]) / total), 1), groups - 2) : groups;
  const THIRD = rows.length === 3 ? Math.min(Math.max(Math.round((groups * (rows[0] + rows[1])) / total), SECOND + 1), groups - 1) : groups;
  const mostRows = Math.max(...(rows.length === 3 ? [rows[0] / SECOND, rows[1] / (THIRD - SECOND), rows[2] / (groups - THIRD)] : [rows[0] / groups]).map(Math.ceil));
  // Few lanes to a row where that leaves no more of them idle in the last round; all of them where rows are few.
  const busy = (n: number) => mostRows / (Math.ceil(mostRows / (lanes / n)) * (lanes / n));
  const most = MOST_PIECES / (gated ? 2 : 1) / (dtype === 'f32' ? 2 : 1);
  const LANES = Array.from({ length: Math.log2(lanes) + 1 }, (_, i) => 2 ** i).filter((n) => n >= subgroupLanes && pieces % n === 0 && pieces / n <= most)
    .reduce<number | undefined>((best, n) => (best === undefined || busy(n) > busy(best) * WORTH_MORE_LANES ? n : best), undefined);
  if (!LANES) return undefined;
  // x is rounded no more than what it is multiplied with.
  const X = dtype === 'f32' ? 'float' : dtype === 'f16' ? 'half' : 'integer';
  const parts = mostRows * (gated ? 2 : 1) * (LANES / subgroupLanes);
  return {
    staged: xColumns / { integer: 16, half: 8, float: 4 }[X], blocks: X === 'float' ? 0 : xColumns / 32, parts, choices,
    parameters: {
      FILE: 'chain_product', WEIGHT: dtype, X, COLUMNS: columns, X_COLUMNS: xColumns, LANES, PIECES: pieces / LANES, QUADS: Math.ceil(xColumns / 4 / lanes), HALVES_APART: dtype === 'q4_0',
      ROWS: rows[0], GATED: gated === true, COPIES: matrices.length, THREE: rows.length === 3, ...(rows.length === 3 && { ROWS_B: rows[1], ROWS_C: rows[2], SECOND, THIRD }),
      CHOSEN: gated === true && indices !== undefined, EXPERT_ROWS: shape[shape.length - 2], COMBINE: weights !== undefined,
    },
  };
}

/** What stages of a chain hand each other, and what others read of it. */
export interface Handed {
  /** Where in the exchange a buffer that a later stage reads begins. */
  readonly sent: ReadonlyMap<BufferId, number>;
  readonly words: number;
  /** Where in the chain's one buffer of results one begins that is read outside. */
  readonly kept: ReadonlyMap<BufferId, number>;
  readonly results: number;
}

/** `readOutside`: whether anything but the chain's own stages reads the buffer. */
export function handed(stages: readonly Stage[], readOutside: (buffer: BufferId) => boolean): Handed {
  const inside = new Set(stages.flatMap(({ x, add }) => [x, add].flatMap((operand) => operand?.buffer ?? [])));
  const sent = new Map<BufferId, number>();
  const kept = new Map<BufferId, number>();
  let [words, results] = [0, 0];
  for (const output of stages.flatMap((stage) => stage.outputs)) {
    if (inside.has(output.buffer)) {
      sent.set(output.buffer, words);
      words += roundUp(count(output), PLACES);
    }
    if (readOutside(output.buffer)) {
      kept.set(output.buffer, results);
      results += roundUp(count(output), ALIGNED);
    }
  }
  return { sent, words, kept, results };
}

/** Where a chain's exchange lies in that of its plan, that of the chain behind it, and the words of both. */
export interface Region { readonly here: number; readonly next: number; readonly words: number; readonly all: number }

/** Fault words: for waiting in vain, and for pages that attention missed. */
export interface Faults { readonly own: number; readonly attention: number }

/** The dispatch of several stages; undefined where it would take more bindings or memory than the device has. `results` is what they keep. */
export function chain(stages: readonly Stage[], { sent, kept, results }: Handed, region: Region, faults: Faults, device: Capabilities): Dispatch | undefined {
  const { groups, lanes } = device.together!;
  const reads: Operand[] = [];
  const bind = (operand: Operand): number => reads.push(operand) + 1;
  const parameters: Record<string, number | boolean | string> = {};
  const plans = stages.map((stage) => dealt(stage, device)!);
  const chosen = new Set(stages.flatMap(({ choice, outputs }) => (choice ? outputs.map(({ buffer }) => buffer) : [])));
  const read = (operand: Operand | undefined): operand is Operand => operand !== undefined && !chosen.has(operand.buffer);
  stages.forEach(({ x, matrices, norm, add, indices, weights, outputs }, s) => {
    const MATRICES_AT = matrices.map(bind)[0] ?? 0;
    const addAt = add && sent.get(add.buffer);
    const xAt = sent.get(x.buffer);
    const y = outputs.map(({ buffer }) => kept.get(buffer));
    const own: Parameters = {
      ...plans[s].parameters, STAGE: s, MATRICES_AT,
      X_OUTSIDE: xAt === undefined, ...(xAt === undefined ? { X_BINDING: bind(x) } : { X_AT: xAt }),
      NORM: norm !== undefined, ...(norm && { NORM_BINDING: bind(norm.weight) }),
      ADD: add !== undefined, ADD_NOTHING: add === undefined, ADD_OUTSIDE: add !== undefined && addAt === undefined, ADD_INSIDE: addAt !== undefined, ...(addAt !== undefined ? { ADD_AT: addAt } : add && { ADD_BINDING: bind(add) }),
      CHOICE_OUTSIDE: read(indices), ...(read(indices) && { INDICES_BINDING: bind(indices) }),
      WEIGHTS_OUTSIDE: read(weights), ...(read(weights) && { WEIGHTS_BINDING: bind(weights) }),
      SENT: sent.has(outputs[0].buffer), Y_AT: sent.get(outputs[0].buffer) ?? 0,
      KEPT_ALONE: y[0] !== undefined && matrices.length < 3, Y_KEPT: y[0] ?? 0, Y_KEPT_B: y[1] ?? 0, Y_KEPT_C: y[2] ?? 0,
    };
    for (const [name, value] of Object.entries(own)) parameters[`${s}.${name}`] = value;
  });
  const SUBGROUP = device.subgroupLanes;
  const [STAGED, BLOCKS, PARTS, CHOICES] = (['staged', 'blocks', 'parts', 'choices'] as const).map((key) => Math.max(1, ...plans.map((plan) => plan[key])));
  const SHUFFLES = SUBGROUP >= 8;
  const bytes = 16 * STAGED + 4 * (BLOCKS + PARTS + 2 * CHOICES + lanes / SUBGROUP + (SHUFFLES ? 0 : lanes));
  // Its last word says whether a chain has ever waited in vain.
  const exchange = scratch(EXCHANGE, { shape: [region.all + 1], dtype: 'i32' });
  const [first] = kept.keys();
  const written: Operand[] = first !== undefined ? [{ buffer: first, spec: { shape: [results], dtype: 'f32' } }] : [];
  // Beside what it reads it binds the exchange, results and the fault words.
  if (bytes > device.workgroupBytes || reads.length + 3 > device.storageBuffers) return undefined;
  return {
    source: 'chain', group: lanes, groups, writes: [exchange], reads, alsoWrites: written,
    parameters: { ...parameters, STAGES: stages.length, GROUPS: groups, STAGED, BLOCKS, PARTS, CHOICES, SUBGROUP, SUBGROUPS: SUBGROUP > 1, SHUFFLES, RESULTS_BINDING: reads.length + 2, RESULTS: written.length > 0 },
    constants: [region.here, region.next, region.words, faults.own, device.together!.looks ?? MOST_LOOKS, faults.attention, region.all, 0, ...stages.flatMap(({ norm, choice }) => [float(norm?.eps ?? choice?.epsilon ?? 0), float(norm?.offset ?? 0), 0, 0])],
  };
}
