// Rows that are picked from a result are picked from what it is made of instead: calls between that work row
// by row then compute only rows that someone reads. Of a model's last layer, which ends with the pick of
// those rows whose logits are wanted, all that follows attention is such calls. Plain data in, plain data out.

import type { BufferId, Call, Operand } from './backend.js';
import { byteLength } from './dtype.js';
import type { Spec } from './dtype.js';

/** Ops of which every row of a result is made of the same row of these inputs, and of all of the others. */
const ROW_INPUTS: Readonly<Record<string, readonly number[]>> = {
  add: [0, 1], mul: [0, 1], scale: [0], silu: [0], gelu_tanh: [0], sigmoid: [0], rms_norm: [0], layer_norm: [0],
  linear: [0], softmax: [0], normalize_sum: [0], top_k: [0], gather: [0, 1], expert_linear: [0, 2], combine: [0, 1],
};

/** `keep` may be read from outside; `alloc` makes a buffer of so many bytes. */
export function pickEarly(calls: readonly Call[], keep: readonly BufferId[], alloc: (bytes: number) => BufferId): Call[] {
  return calls.reduce((list, call) => (call.op === 'take_rows' ? pickedEarly(list, call, new Set(keep), alloc) : list), [...calls]);
}

function pickedEarly(calls: Call[], pick: Call, kept: ReadonlySet<BufferId>, alloc: (bytes: number) => BufferId): Call[] {
  const [{ buffer: source, spec: { shape: [T] } }, rows] = pick.inputs, [R] = rows.spec.shape;
  const narrowed = callsOfRows(calls.slice(0, calls.indexOf(pick)), calls, pick, T, kept);
  const last = [...narrowed].find(({ outputs }) => outputs[0].buffer === source);
  if (R >= T || !last) return calls;
  const made = new Set([...narrowed].flatMap(({ outputs }) => outputs.map(({ buffer }) => buffer)));
  const picked = new Map<BufferId, BufferId>();
  const few = (spec: Spec): Spec => ({ ...spec, shape: [R, ...spec.shape.slice(1)] });
  const result: Call[] = [];
  for (const call of calls) {
    if (call === pick) continue;
    if (!narrowed.has(call)) { result.push(call); continue; }
    const inputs = call.inputs.map((input, i): Operand => {
      if (!isRowInput(call, i)) return input;
      const spec = few(input.spec);
      if (made.has(input.buffer)) return { buffer: input.buffer, spec };
      if (!picked.has(input.buffer)) {
        const buffer = alloc(byteLength(spec)), width = spec.shape.slice(1).reduce((a, b) => a * b, 1);
        picked.set(input.buffer, buffer);
        result.push({ ...pick, inputs: [{ buffer: input.buffer, spec: { ...spec, shape: [T, width] } }, rows], outputs: [{ buffer, spec: { ...spec, shape: [R, width] } }] });
      }
      return { buffer: picked.get(input.buffer)!, spec };
    });
    result.push({ ...call, inputs, outputs: call === last ? [{ ...pick.outputs[0], spec: few(call.outputs[0].spec) }] : call.outputs.map(({ buffer, spec }) => ({ buffer, spec: few(spec) })) });
  }
  return result;
}

/** The calls that need no other than the picked rows: they work row by row, and only `pick` and such calls read what they make. */
function callsOfRows(before: readonly Call[], calls: readonly Call[], pick: Call, T: number, kept: ReadonlySet<BufferId>): Set<Call> {
  const found = new Set(before.filter((call) => call.op in ROW_INPUTS && call.outputs.every(({ spec, buffer }) => spec.shape[0] === T && !kept.has(buffer))));
  const makes = (buffer: BufferId): boolean => [...found].some(({ outputs }) => outputs.some((output) => output.buffer === buffer));
  const narrow = (call: Call): boolean => {
    const readers = calls.filter((other) => other.inputs.some(({ buffer }) => call.outputs.some((output) => output.buffer === buffer)));
    return readers.length > 0 && readers.every((reader) => reader === pick || (found.has(reader) && readsRows(reader, call)))
      // Only float32 can be picked.
      && call.inputs.every(({ buffer, spec }, i) => !isRowInput(call, i) || (spec.shape[0] === T && (spec.dtype === 'f32' || makes(buffer))));
  };
  for (let size = -1; size !== found.size;) {
    size = found.size;
    for (const call of found) if (!narrow(call)) found.delete(call);
  }
  return found;
}

/** Whether `reader` takes all that it reads of `call` row by row. */
function readsRows(reader: Call, call: Call): boolean {
  return reader.inputs.every(({ buffer }, i) => isRowInput(reader, i) || !call.outputs.some((output) => output.buffer === buffer));
}

/** Whether input `i` has a row for each of the result's; what is added to all of them alike has fewer axes. */
function isRowInput({ op, inputs, outputs }: Call, i: number): boolean {
  return ROW_INPUTS[op].includes(i) && (i === 0 || (op !== 'add' && op !== 'mul') || inputs[i].spec.shape.length === outputs[0].spec.shape.length);
}
