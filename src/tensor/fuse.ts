// Peephole fusion of recorded calls: a table of rules, each joining a producer with the one call
// that consumes its result, then a table of groups: calls of one op side by side, then norms that go
// into the products they feed. Plain data in, plain data out; the unfused list stays the definition.

import type { BufferId, Call, Operand } from './backend.js';
import { getOp } from './op.js';
import { NORMED_PRODUCTS } from './ops/fused_products.js';

interface Rule {
  readonly producer: string;
  readonly consumer: string;
  /** Which input of the consumer the producer's first output must be. */
  readonly input: number;
  /** The producer's result may have other readers: the fused call still writes it. */
  readonly keepsResult: boolean;
  /** Another input of the consumer, whose only producer (of the same op) goes into the fused call too. */
  readonly also?: number;
  fuse(producer: Call, consumer: Call, other: Call | undefined): Call | undefined;
}

const sameSize = (a: Call, i: number, j: number) => a.inputs[i].spec.shape.join() === a.inputs[j].spec.shape.join();

/** A product whose result is added to something else: input `input` of the addition. */
const productAndSum = (producer: string, fused: string, inputs: number, input: number): Rule => ({
  producer, consumer: 'add', input, keepsResult: false,
  fuse: (product, sum) => product.inputs.length === inputs && sameSize(sum, 0, 1)
    ? { op: fused, inputs: [...product.inputs, sum.inputs[1 - input]], outputs: sum.outputs, attrs: {}, path: product.path }
    : undefined,
});

export const RULES: readonly Rule[] = [
  {
    producer: 'expert_linear', consumer: 'combine', input: 0, keepsResult: false,
    fuse: (product, combine) => ({ op: 'expert_combine', inputs: [...product.inputs, combine.inputs[1]], outputs: combine.outputs, attrs: {}, path: product.path }),
  },
  productAndSum('linear', 'linear_add', 2, 1),
  productAndSum('linear', 'linear_add', 2, 0),
  productAndSum('expert_combine', 'expert_combine', 4, 1),
  productAndSum('expert_combine', 'expert_combine', 4, 0),
  {
    producer: 'softmax', consumer: 'top_k', input: 0, keepsResult: false,
    // Among groups it is the scores that compete, of which softmax does not keep the order.
    fuse: (softmax, top) => (top.attrs.groups as number | undefined ?? 1) > 1 ? undefined : ({ ...top, op: 'softmax_top_k', inputs: softmax.inputs, attrs: { ...top.attrs, normalize: false, epsilon: 0 } }),
  },
  {
    producer: 'softmax_top_k', consumer: 'normalize_sum', input: 0, keepsResult: false,
    fuse: (top, normalize) => ({ ...top, outputs: [normalize.outputs[0], top.outputs[1]], attrs: { ...top.attrs, normalize: true, ...normalize.attrs } }),
  },
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
    producer: 'expert_linear', consumer: 'silu_mul', input: 0, keepsResult: false, also: 1,
    fuse: (gate, mul, up) => up && named(gate, 0, 2) === named(up, 0, 2)
      ? { op: 'expert_linear_gated', inputs: [...gate.inputs.slice(0, 2), up.inputs[1], gate.inputs[2]], outputs: mul.outputs, attrs: {}, path: gate.path }
      : undefined,
  },
  {
    producer: 'linear', consumer: 'silu_mul', input: 0, keepsResult: false,
    fuse: (gate, mul) => gate.inputs.length === 2
      ? { op: 'linear_silu_mul', inputs: [...gate.inputs, mul.inputs[1]], outputs: mul.outputs, attrs: {}, path: gate.path }
      : undefined,
  },
  {
    producer: 'linear', consumer: 'linear_silu_mul', input: 2, keepsResult: false,
    fuse: (up, gate) => up.inputs.length === 2 && up.inputs[0].buffer === gate.inputs[0].buffer && specOf(up.inputs[1]) === specOf(gate.inputs[1])
      ? { op: 'linear_gated', inputs: [...gate.inputs.slice(0, 2), up.inputs[1]], outputs: gate.outputs, attrs: {}, path: gate.path }
      : undefined,
  },
  {
    producer: 'rms_norm', consumer: 'rope', input: 0, keepsResult: false,
    fuse: (norm, rope) => norm.inputs.length === 2 && norm.inputs[0].spec.shape.at(-1) === rope.inputs[0].spec.shape[2]
      ? { op: 'rms_norm_rope', inputs: [{ ...norm.inputs[0], spec: rope.inputs[0].spec }, norm.inputs[1], ...rope.inputs.slice(1)], outputs: rope.outputs, attrs: { ...norm.attrs, ...rope.attrs }, path: norm.path }
      : undefined,
  },
];

/** Calls of one op that need nothing of each other and become one: the later ones move up to the first. */
interface GroupRule {
  readonly op: string;
  readonly count: number;
  /** What the calls of a group must have in common. */
  key(call: Call): string;
  fuse(calls: readonly Call[]): Call;
}

const named = (call: Call, ...inputs: number[]): string => inputs.map((i) => `${call.inputs[i].buffer} ${call.inputs[i].spec.shape.join()}`).join(' ');
const specOf = ({ spec }: Operand): string => `${spec.dtype} ${spec.shape.join()}`;

export const GROUP_RULES: readonly GroupRule[] = [
  {
    op: 'linear', count: 3, key: (call) => `${named(call, 0)} ${call.inputs.length} ${call.inputs[1].spec.dtype}`,
    fuse: (calls) => ({ op: 'linear_group', inputs: [calls[0].inputs[0], ...calls.map((c) => c.inputs[1])], outputs: calls.map((c) => c.outputs[0]), attrs: {}, path: calls[0].path }),
  },
  {
    op: 'rms_norm_rope', count: 2, key: (call) => `${named(call, 2, 3)} ${JSON.stringify(call.attrs)} ${call.inputs[0].spec.shape[2]}`,
    fuse: ([a, b]) => ({ op: 'rms_norm_rope_pair', inputs: [a.inputs[0], b.inputs[0], a.inputs[1], b.inputs[1], ...a.inputs.slice(2)], outputs: [...a.outputs, ...b.outputs], attrs: a.attrs, path: a.path }),
  },
  {
    op: 'kv_append', count: 2, key: (call) => `${named(call, 2, 3, 4)} ${specOf(call.inputs[0])} ${specOf(call.inputs[1])}`,
    fuse: ([k, v]) => ({ op: 'kv_append_pair', inputs: [k.inputs[0], v.inputs[0], k.inputs[1], v.inputs[1], ...k.inputs.slice(2)], outputs: [], attrs: {}, path: k.path }),
  },
];

/** Rules for what groups have made. */
const LATE_RULES: readonly Rule[] = [
  {
    producer: 'rms_norm_rope_pair', consumer: 'kv_append_pair', input: 2, keepsResult: false,
    fuse: (norm, append) => norm.outputs[1].buffer === append.inputs[2].buffer && named(norm, 4) === named(append, 4)
      ? { op: 'rms_norm_rope_append', inputs: [...norm.inputs, ...append.inputs.slice(0, 2), append.inputs[3], ...append.inputs.slice(5)], outputs: norm.outputs.slice(0, 1), attrs: norm.attrs, path: norm.path }
      : undefined,
  },
  {
    producer: 'rms_norm_rope_append', consumer: 'paged_attention', input: 0, keepsResult: false,
    fuse: (append, attention) => named(append, 6, 7, 4, 9, 10) === named(attention, 1, 2, 3, 4, 5)
      ? { op: 'rms_norm_rope_attention', inputs: append.inputs, outputs: attention.outputs, attrs: { ...append.attrs, ...attention.attrs }, path: attention.path }
      : undefined,
  },
];

/**
 * Fuses calls by the rules whose fused op `supports` accepts. The fused call stands where the
 * consumer stood if the result has one reader, else where the producer stood (only safe when the
 * consumer's other inputs exist by then, which is checked). `keep` may be read from outside.
 */
export function fuse(calls: readonly Call[], keep: readonly BufferId[], supports: (call: Call) => boolean, rules: readonly Rule[] = RULES, groupRules: readonly GroupRule[] = GROUP_RULES): Call[] {
  const list: (Call | undefined)[] = [...calls];
  const kept = new Set(keep);
  join(list, kept, rules, supports);
  for (const rule of groupRules) group(list, rule, supports);
  join(list, kept, LATE_RULES, supports);
  absorbNorms(list, kept, supports);
  return list.filter((call) => call !== undefined);
}

function join(list: (Call | undefined)[], kept: ReadonlySet<BufferId>, rules: readonly Rule[], supports: (call: Call) => boolean): void {
  for (const rule of rules) {
    for (let at = 0; at < list.length; at++) {
      const consumer = list[at];
      if (consumer?.op !== rule.consumer) continue;
      const buffer = consumer.inputs[rule.input].buffer;
      const from = lastWriter(list, buffer, at);
      const producer = list[from];
      if (!producer || producer.op !== rule.producer) continue;
      if (!rule.keepsResult && (kept.has(buffer) || readers(list, buffer, from) !== 1)) continue;
      const other = rule.also === undefined ? -1 : onlyProducer(list, consumer.inputs[rule.also].buffer, at, rule.producer, kept);
      const fused = rule.fuse(producer, consumer, list[other]);
      if (!fused || !supports(fused)) continue;
      const position = rule.keepsResult ? from : at;
      if (!inputsReady(list, fused, position, producer) || !othersWait(list, producer, from, position)) continue;
      for (const place of [from, at, ...(other < 0 ? [] : [other])]) list[place] = undefined;
      list[position] = fused;
    }
  }
}

/** Each RMS norm that only products read goes into all of them: they compute it again, which costs less than waiting for it. */
function absorbNorms(list: (Call | undefined)[], kept: ReadonlySet<BufferId>, supports: (call: Call) => boolean): void {
  list.forEach((norm, at) => {
    if (norm?.op !== 'rms_norm' || norm.inputs.length !== 2 || kept.has(norm.outputs[0].buffer)) return;
    const { buffer } = norm.outputs[0];
    const places = list.flatMap((call, place) => (place > at && call?.inputs.some((input) => input.buffer === buffer) ? [place] : []));
    const fused = places.map((place) => {
      const call = list[place]!;
      const takes = NORMED_PRODUCTS.has(call.op) && call.inputs.filter((input) => input.buffer === buffer).length === 1 && call.inputs[0].buffer === buffer;
      return takes ? { ...call, op: `norm_${call.op}`, inputs: [{ ...norm.inputs[0], spec: call.inputs[0].spec }, norm.inputs[1], ...call.inputs.slice(1)], attrs: norm.attrs } : undefined;
    });
    const last = norm.inputs[0].spec.shape.at(-1);
    if (places.length === 0 || !fused.every((call) => call && call.inputs[0].spec.shape.at(-1) === last && supports(call))) return;
    list[at] = undefined;
    places.forEach((place, i) => { list[place] = fused[i]; });
  });
}

/** Where the call of `op` stands that alone writes a buffer which nothing else reads; -1 where there is none. */
function onlyProducer(list: readonly (Call | undefined)[], buffer: BufferId, before: number, op: string, kept: ReadonlySet<BufferId>): number {
  const at = lastWriter(list, buffer, before);
  return at >= 0 && list[at]!.op === op && !kept.has(buffer) && readers(list, buffer, at) === 1 ? at : -1;
}

function group(list: (Call | undefined)[], rule: GroupRule, supports: (call: Call) => boolean): void {
  const keys = list.map((call) => (call?.op === rule.op ? rule.key(call) : undefined));
  for (let at = 0; at < list.length; at++) {
    if (!list[at] || keys[at] === undefined) continue;
    const alike = keys.flatMap((key, place) => (place > at && list[place] && key === keys[at] ? [place] : []));
    const fusing = (places: readonly number[]): Call => rule.fuse([at, ...places].map((place) => list[place]!));
    // Whether they can move is found out last: it takes the longest.
    if (alike.length < rule.count - 1 || !supports(fusing(alike.slice(0, rule.count - 1)))) continue;
    const moved = alike.filter((place) => canMoveUp(list, at, place)).slice(0, rule.count - 1);
    if (moved.length < rule.count - 1) continue;
    const places = [at, ...moved], fused = fusing(moved);
    if (!supports(fused)) continue;
    for (const place of places) list[place] = undefined;
    list[at] = fused;
  }
}

/** Whether the call at `from` could as well stand at `to`: nothing from there on writes what it touches, or touches what it writes. */
function canMoveUp(list: readonly (Call | undefined)[], to: number, from: number): boolean {
  const moved = list[from]!;
  // Of effects like the moved one it is known what they write: their first input. Others may write any.
  const writtenBy = (call: Call) => [...call.outputs, ...(getOp(call.op).effect ? (call.op === moved.op ? call.inputs.slice(0, 1) : call.inputs) : [])].map((o) => o.buffer);
  const buffers = (call: Call) => [...call.inputs, ...call.outputs].map((o) => o.buffer);
  const [written, touched] = [new Set(writtenBy(moved)), new Set(buffers(moved))];
  return list.slice(to, from).every((call) => !call || !(writtenBy(call).some((buffer) => touched.has(buffer)) || buffers(call).some((buffer) => written.has(buffer))));
}

function lastWriter(list: readonly (Call | undefined)[], buffer: BufferId, before: number): number {
  for (let i = before - 1; i >= 0; i--) if (list[i]?.outputs.some((o) => o.buffer === buffer)) return i;
  return -1;
}

function readers(list: readonly (Call | undefined)[], buffer: BufferId, after: number): number {
  return list.slice(after + 1).filter((call) => call?.inputs.some((i) => i.buffer === buffer)).length;
}

/** Whether nothing reads any result of the producer before `position`. */
function othersWait(list: readonly (Call | undefined)[], producer: Call, from: number, position: number): boolean {
  const written = new Set(producer.outputs.map((o) => o.buffer));
  return list.slice(from + 1, position).every((call) => !call?.inputs.some((input) => written.has(input.buffer)));
}

/** Whether all that the fused call reads is written before `position`, its own producer aside. */
function inputsReady(list: readonly (Call | undefined)[], fused: Call, position: number, producer: Call): boolean {
  return fused.inputs.every(({ buffer }) => list.slice(position).every((call) => call === producer || !call?.outputs.some((o) => o.buffer === buffer)));
}
