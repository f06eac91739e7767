// Peephole fusion of recorded calls: a table of rules, each joining a producer with the one call
// that consumes its result. Plain data in, plain data out; the unfused list stays the definition.

import type { BufferId, Call } from './backend.js';

interface Rule {
  readonly producer: string;
  readonly consumer: string;
  /** Which input of the consumer the producer's first output must be. */
  readonly input: number;
  /** The producer's result may have other readers: the fused call still writes it. */
  readonly keepsResult: boolean;
  fuse(producer: Call, consumer: Call): Call | undefined;
}

const sameSize = (a: Call, i: number, j: number) => a.inputs[i].spec.shape.join() === a.inputs[j].spec.shape.join();

export const RULES: readonly Rule[] = [
  {
    producer: 'add', consumer: 'rms_norm', input: 0, keepsResult: true,
    fuse: (add, norm) => norm.inputs.length === 2 && sameSize(add, 0, 1)
      ? { op: 'add_rms_norm', inputs: [...add.inputs, norm.inputs[1]], outputs: [add.outputs[0], norm.outputs[0]], attrs: norm.attrs, path: norm.path }
      : undefined,
  },
  {
    producer: 'silu', consumer: 'mul', input: 0, keepsResult: false,
    fuse: (silu, mul) => sameSize(mul, 0, 1)
      ? { op: 'silu_mul', inputs: [silu.inputs[0], mul.inputs[1]], outputs: mul.outputs, attrs: {}, path: mul.path }
      : undefined,
  },
  {
    producer: 'linear', consumer: 'silu_mul', input: 0, keepsResult: false,
    fuse: (gate, mul) => gate.inputs.length === 2
      ? { op: 'linear_silu_mul', inputs: [...gate.inputs, mul.inputs[1]], outputs: mul.outputs, attrs: {}, path: gate.path }
      : undefined,
  },
  {
    producer: 'rms_norm', consumer: 'rope', input: 0, keepsResult: false,
    fuse: (norm, rope) => norm.inputs.length === 2 && norm.inputs[0].spec.shape.at(-1) === rope.inputs[0].spec.shape[2]
      ? { op: 'rms_norm_rope', inputs: [{ ...norm.inputs[0], spec: rope.inputs[0].spec }, norm.inputs[1], ...rope.inputs.slice(1)], outputs: rope.outputs, attrs: { ...norm.attrs, ...rope.attrs }, path: norm.path }
      : undefined,
  },
];

/**
 * Fuses calls by the rules whose fused op `supports` accepts. The fused call stands where the
 * consumer stood if the result has one reader, else where the producer stood (only safe when the
 * consumer's other inputs exist by then, which is checked). `keep` may be read from outside.
 */
export function fuse(calls: readonly Call[], keep: readonly BufferId[], supports: (call: Call) => boolean, rules: readonly Rule[] = RULES): Call[] {
  const list: (Call | undefined)[] = [...calls];
  const kept = new Set(keep);
  for (const rule of rules) {
    for (let at = 0; at < list.length; at++) {
      const consumer = list[at];
      if (consumer?.op !== rule.consumer) continue;
      const buffer = consumer.inputs[rule.input].buffer;
      const from = lastWriter(list, buffer, at);
      const producer = list[from];
      if (!producer || producer.op !== rule.producer) continue;
      if (!rule.keepsResult && (kept.has(buffer) || readers(list, buffer, from) !== 1)) continue;
      const fused = rule.fuse(producer, consumer);
      if (!fused || !supports(fused)) continue;
      const position = rule.keepsResult ? from : at;
      if (!inputsReady(list, fused, position, producer)) continue;
      list[from] = undefined;
      list[at] = undefined;
      list[position] = fused;
    }
  }
  return list.filter((call) => call !== undefined);
}

function lastWriter(list: readonly (Call | undefined)[], buffer: BufferId, before: number): number {
  for (let i = before - 1; i >= 0; i--) if (list[i]?.outputs.some((o) => o.buffer === buffer)) return i;
  return -1;
}

function readers(list: readonly (Call | undefined)[], buffer: BufferId, after: number): number {
  return list.slice(after + 1).filter((call) => call?.inputs.some((i) => i.buffer === buffer)).length;
}

/** Whether all that the fused call reads is written before `position`, its own producer aside. */
function inputsReady(list: readonly (Call | undefined)[], fused: Call, position: number, producer: Call): boolean {
  return fused.inputs.every(({ buffer }) => list.slice(position).every((call) => call === producer || !call?.outputs.some((o) => o.buffer === buffer)));
}
