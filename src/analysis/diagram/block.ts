// A block as the chain of sublayers that its calls make: what each reads, which norms stand where,
// and where its result is added back. Told by which call reads whose result, not by part names.

import type { BufferId, Call } from '../../tensor/index.js';
import { normName } from '../layers.js';
import { layerOf } from '../parameters.js';

export type StepKind = 'norm' | 'attention' | 'feedForward' | 'other';

/** One part of a sublayer. */
export interface BlockStep {
  readonly kind: StepKind;
  /** What a norm is called, or the op of a step of another kind. */
  readonly name: string;
}

/** Steps in the order in which they run; `residual`: their result is added to what they read. */
export interface Sublayer {
  readonly steps: readonly BlockStep[];
  readonly residual: boolean;
}

/** Calls of one child of the block that follow on one another, or one call of the block itself. */
interface Run { readonly child: string; readonly own: boolean; readonly calls: Call[] }

function runsOf(calls: readonly Call[]): Run[] {
  const runs: Run[] = [];
  for (const call of calls) {
    const { index, child } = layerOf(call.path)!;
    const own = child === `layers.${index}`;
    const last = runs.at(-1);
    if (last && !own && last.child === child) last.calls.push(call);
    else runs.push({ child, own, calls: [call] });
  }
  return runs;
}

function stepOf({ calls, own }: Run): BlockStep {
  const ops = calls.map(({ op }) => op);
  if (ops.some((op) => /attention$/.test(op))) return { kind: 'attention', name: 'attention' };
  if (ops.every((op) => /norm$/.test(op))) return { kind: 'norm', name: normName(ops[0]) };
  return own ? { kind: 'other', name: ops[0] } : { kind: 'feedForward', name: 'feed-forward' };
}

/** What has happened to the residual stream's value on the way to a buffer. */
interface Chain { readonly from: BufferId; readonly steps: readonly BlockStep[] }

/**
 * The sublayers of a block, given its calls in order. Throws where a value comes about in a way
 * that is no chain of sublayers.
 */
export function sublayersOf(calls: readonly Call[]): Sublayer[] {
  const input = calls[0].inputs[0].buffer;
  const chains = new Map<BufferId, Chain>([[input, { from: input, steps: [] }]]);
  const sublayers: Sublayer[] = [];
  let output = input;
  for (const run of runsOf(calls)) {
    output = run.calls.at(-1)!.outputs[0].buffer;
    const read = chainsRead(run, chains);
    if (run.own && run.calls[0].op === 'add' && read.length === 2) {
      sublayers.push(...joined(read[0], read[1]));
      chains.set(output, { from: output, steps: [] });
    } else if (read.length === 1) {
      chains.set(output, { from: read[0].from, steps: [...read[0].steps, stepOf(run)] });
    } else {
      throw new Error(`${run.child} reads ${read.length} values of its block: only blocks whose sublayers follow on one another can be drawn`);
    }
  }
  const rest = chains.get(output)!.steps;
  return rest.length > 0 ? [...sublayers, { steps: rest, residual: false }] : sublayers;
}

/** The block's values that a run reads from outside of itself, each once. */
function chainsRead({ calls }: Run, chains: ReadonlyMap<BufferId, Chain>): Chain[] {
  const buffers = new Set(calls.flatMap(({ inputs }) => inputs.map(({ buffer }) => buffer)));
  return [...buffers].flatMap((buffer) => chains.get(buffer) ?? []);
}

/** The longer way is the sublayer; steps that both ways share came before the stream was split. */
function joined(a: Chain, b: Chain): Sublayer[] {
  const [skip, through] = a.steps.length <= b.steps.length ? [a, b] : [b, a];
  const shared = skip.steps.every((step, i) => step === through.steps[i]);
  if (skip.from !== through.from || !shared) throw new Error('a block adds two results of its own: only residual sums can be drawn');
  const before: Sublayer[] = skip.steps.length > 0 ? [{ steps: skip.steps, residual: false }] : [];
  return [...before, { steps: through.steps.slice(skip.steps.length), residual: true }];
}
