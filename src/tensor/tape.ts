// Reverse-mode differentiation over a tape of applied ops.
//
// Gradients are keyed by tensor, never by buffer, so that views of one buffer do not collide; a
// reshape is an entry of its own. The tape keeps alive exactly what each op's `saves` names.
// An op without `vjp` is differentiated through its composition, recomputed on the way back.

import type { Attrs } from './backend.js';
import type { Op, Saved } from './op.js';
import { add } from './ops/add.js';
import { activeTape, withTape, withoutTape } from './tape-state.js';
import type { Recorder } from './tape-state.js';
import type { Tensor } from './tensor.js';
import { reshape, scope } from './tensor.js';

interface OpEntry { kind: 'op'; op: Op; inputs: readonly Tensor[]; outputs: readonly Tensor[]; attrs: Attrs; kept: Tensor[] }
interface ReshapeEntry { kind: 'reshape'; input: Tensor; output: Tensor }
/** What `recomputed` recorded: nothing of what lies between. */
interface SegmentEntry { kind: 'segment'; inputs: readonly Tensor[]; outputs: readonly Tensor[]; body: () => Tensor[] }
type Entry = OpEntry | ReshapeEntry | SegmentEntry;

export class Tape implements Recorder {
  private entries: Entry[] = [];

  record(op: Op, inputs: readonly Tensor[], outputs: readonly Tensor[], attrs: Attrs): void {
    const recompute = !op.vjp && op.compose;
    const kept = recompute ? [...inputs] : [
      ...(op.saves?.inputs ?? []).filter((i) => i < inputs.length).map((i) => inputs[i]),
      ...(op.saves?.outputs ?? []).map((i) => outputs[i]),
    ];
    for (const tensor of kept) tensor.retain();
    this.entries.push({ kind: 'op', op, inputs, outputs, attrs, kept });
  }

  recordReshape(input: Tensor, output: Tensor): void {
    this.entries.push({ kind: 'reshape', input, output });
  }

  recordSegment(inputs: readonly Tensor[], outputs: readonly Tensor[], body: () => Tensor[]): void {
    for (const tensor of inputs) tensor.retain();
    this.entries.push({ kind: 'segment', inputs, outputs, body });
  }

  /**
   * Gradients with respect to `wanted`, given those of `outputs` (null: none); null where nothing
   * depends on one. Consumes the tape. The results belong to the caller's scope.
   */
  backward(outputs: readonly Tensor[], seeds: readonly (Tensor | null)[], wanted: readonly Tensor[]): (Tensor | null)[] {
    const needed = this.dependents(wanted);
    const gradients = new Map<Tensor, Tensor>();
    outputs.forEach((output, i) => { const seed = seeds[i]; if (seed) gradients.set(output, seed); });
    try {
      withoutTape(() => {
        for (const entry of this.entries.toReversed()) step(entry, gradients, needed, wanted);
      });
      return wanted.map((tensor) => gradients.get(tensor) ?? null);
    } finally {
      this.dispose();
    }
  }

  /** Lets go of everything the tape keeps alive. */
  dispose(): void {
    for (const entry of this.entries) for (const tensor of keptBy(entry)) tensor.release();
    this.entries = [];
  }

  /** Every tensor that depends on one of `wanted`: only these get gradients. */
  private dependents(wanted: readonly Tensor[]): Set<Tensor> {
    const set = new Set(wanted);
    for (const entry of this.entries) {
      if (entry.kind === 'reshape') { if (set.has(entry.input)) set.add(entry.output); }
      // Which parameters a segment uses is seen when it is computed again.
      else if (entry.kind === 'segment') for (const out of entry.outputs) set.add(out);
      else if (entry.inputs.some((t) => set.has(t))) for (const out of entry.outputs) set.add(out);
    }
    return set;
  }
}

const keptBy = (entry: Entry): readonly Tensor[] => (entry.kind === 'op' ? entry.kept : entry.kind === 'segment' ? entry.inputs : []);

function step(entry: Entry, gradients: Map<Tensor, Tensor>, needed: ReadonlySet<Tensor>, wanted: readonly Tensor[]): void {
  if (entry.kind === 'reshape') {
    const dy = gradients.get(entry.output);
    if (dy && needed.has(entry.input)) accumulate(gradients, entry.input, reshape(dy, entry.input.shape));
    return;
  }
  const cotangents = entry.outputs.map((out) => gradients.get(out) ?? null);
  if (entry.kind === 'segment') {
    for (const [of, dx] of throughSegment(entry, cotangents, needed, wanted)) accumulate(gradients, of, dx);
    return;
  }
  if (cotangents.every((dy) => dy === null) || !entry.inputs.some((t) => needed.has(t))) return;
  const results = entry.op.vjp ? entry.op.vjp(savedOf(entry, needed), cotangents, entry.attrs) : throughComposition(entry, cotangents);
  entry.inputs.forEach((input, i) => {
    const dx = results[i];
    if (dx && needed.has(input)) accumulate(gradients, input, dx);
  });
}

function accumulate(gradients: Map<Tensor, Tensor>, of: Tensor, dx: Tensor): void {
  const before = gradients.get(of);
  gradients.set(of, before ? add(before, dx) : dx);
}

function savedOf(entry: OpEntry, needed: ReadonlySet<Tensor>): Saved {
  const { op, inputs, outputs } = entry;
  const pick = (from: readonly Tensor[], names: readonly number[] | undefined, index: number, what: string) => {
    if (!names?.includes(index)) throw new Error(`${op.name}: its gradient asks for ${what} ${index}, which it does not save`);
    return from[index];
  };
  return {
    input: (i) => pick(inputs, op.saves?.inputs, i, 'input'),
    output: (i) => pick(outputs, op.saves?.outputs, i, 'output'),
    needs: (i) => needed.has(inputs[i]),
    inputSpecs: inputs.map((t) => t.spec),
  };
}

function throughComposition(entry: OpEntry, cotangents: readonly (Tensor | null)[]): (Tensor | null)[] {
  const { op, inputs, attrs } = entry;
  const { compose } = op;
  if (!compose) throw new Error(`${op.name} has no gradient`);
  const inner = new Tape();
  const outputs = withTape(inner, () => compose(inputs, attrs));
  return inner.backward(outputs, cotangents, inputs);
}

/** Computes a segment again and goes back through it: gradients of its inputs, and of what is wanted within. */
function throughSegment({ inputs, body }: SegmentEntry, cotangents: readonly (Tensor | null)[], needed: ReadonlySet<Tensor>, wanted: readonly Tensor[]): [Tensor, Tensor][] {
  if (cotangents.every((dy) => dy === null)) return [];
  const of = [...new Set([...inputs.filter((input) => needed.has(input)), ...wanted])];
  return scope(() => {
    const { result, tape } = recordTape(body);
    const found = tape.backward(result, cotangents, of);
    return of.flatMap((tensor, i): [Tensor, Tensor][] => { const dx = found[i]; return dx ? [[tensor, dx]] : []; });
  });
}

/**
 * What `body` computes from `inputs` and from parameters, of which a tape keeps only that: the rest is
 * computed again on the way back (arXiv:1604.06174). `body` runs twice and must compute the same; what
 * it gives beyond the first time's results is not looked at.
 */
export function recomputed(inputs: readonly Tensor[], body: () => Tensor[]): Tensor[] {
  const tape = activeTape();
  if (!tape) return body();
  const outputs = scope(() => withoutTape(body));
  tape.recordSegment(inputs, outputs, body);
  return outputs;
}

/** Runs `body` under a new tape and returns its result with the tape. */
export function recordTape<T>(body: () => T): { result: T; tape: Tape } {
  const tape = new Tape();
  try {
    return { result: withTape(tape, body), tape };
  } catch (error) {
    tape.dispose();
    throw error;
  }
}

/** Whether a tape records what is computed now. */
export const isRecording = (): boolean => activeTape() !== undefined;
