// Counts parameters: all of them, those that one token's pass uses, and both by part and layer.
// What a parameter is for is read from the calls that use it and from where it stands in the tree,
// so no family is asked for by name.

import { KvCache } from '../nn/index.js';
import type { Parameter } from '../nn/index.js';
import { elementCount } from '../tensor/index.js';
import type { Call } from '../tensor/index.js';
import type { Execution, Pass } from './execute.js';

export type PartName = 'embedding' | 'positions' | 'attention' | 'mlp' | 'router' | 'experts' | 'sharedExperts' | 'norm' | 'head';

export interface ParameterCount {
  readonly parameter: Parameter;
  readonly part: PartName;
  /** Index of the block it belongs to; undefined outside of them. */
  readonly layer: number | undefined;
  readonly total: number;
  /** How many of them the pass of one token uses: k of E where experts are stacked. */
  readonly active: number;
}

/** Every parameter with its part and counts. `pass` is a decode step of one sequence. */
export function countParameters(run: Execution, pass: Pass): ParameterCount[] {
  const uses = usesOf(run, pass);
  const blocks = blockChildren(run, uses);
  return [...run.parameterOf.values()].map((parameter) => {
    const total = elementCount(parameter.shape);
    const use = uses.get(parameter);
    return {
      parameter, total, part: partOf(parameter, use, blocks), layer: layerOf(parameter.path)?.index,
      active: use ? (total / parameter.shape[0]) * use.slices : 0,
    };
  });
}

/** `layers.3.mlp.gate` as { index: 3, child: 'layers.3.mlp' }. */
export function layerOf(path: string): { index: number; child: string } | undefined {
  const match = /^layers\.(\d+)(\.[^.]+)?/.exec(path);
  return match ? { index: Number(match[1]), child: match[0] } : undefined;
}

interface Use {
  readonly as: 'table' | 'positions' | 'norm' | 'expert' | 'other';
  /** How many slices of the first axis one token needs. */
  readonly slices: number;
}

function usesOf(run: Execution, { calls, positions }: Pass): Map<Parameter, Use> {
  const uses = new Map<Parameter, Use>();
  for (const call of calls) call.inputs.forEach(({ buffer }, index) => {
    const parameter = run.parameterOf.get(buffer);
    if (!parameter) return;
    const use = useIn(call, index, parameter, positions);
    const earlier = uses.get(parameter);
    // A tied table is an embedding first; whatever reads all of a parameter makes all of it active.
    uses.set(parameter, earlier ? { as: earlier.as, slices: Math.max(earlier.slices, use.slices) } : use);
  });
  return uses;
}

function useIn({ op, inputs }: Call, index: number, { shape }: Parameter, positions: number): Use {
  if (op === 'expert_linear' && index === 1) return { as: 'expert', slices: Math.min(inputs[2].spec.shape[1], shape[0]) };
  const as = op === 'take_rows' ? (inputs[1].buffer === positions ? 'positions' : 'table') : /norm$/.test(op) ? 'norm' : 'other';
  return { as, slices: shape[0] };
}

/** Which direct children of the blocks hold a cache (attention) and which hold experts. */
interface BlockChildren { readonly attention: ReadonlySet<string>; readonly moe: ReadonlySet<string> }

function blockChildren(run: Execution, uses: ReadonlyMap<Parameter, Use>): BlockChildren {
  const [attention, moe] = [new Set<string>(), new Set<string>()];
  for (const [path, part] of run.tree) {
    const child = layerOf(path)?.child;
    if (!child) continue;
    if (part instanceof KvCache) attention.add(child);
    if (part.kind === 'parameter' && uses.get(part)?.as === 'expert') moe.add(child);
  }
  return { attention, moe };
}

function partOf(parameter: Parameter, use: Use | undefined, { attention, moe }: BlockChildren): PartName {
  const child = layerOf(parameter.path)?.child;
  if (!child) {
    if (use?.as === 'table') return 'embedding';
    if (use?.as === 'positions') return 'positions';
    return use?.as === 'norm' ? 'norm' : 'head';
  }
  if (attention.has(child)) return 'attention';
  if (use?.as === 'expert') return 'experts';
  // What must never be quantised beside experts is what chooses among them.
  if (moe.has(child)) return parameter.precise ? 'router' : 'sharedExperts';
  return use?.as === 'norm' ? 'norm' : 'mlp';
}
