// What the planner needs of one model, read from one run of its definition on shapes: weights by
// format, and the arithmetic and memory traffic of a decode step and of a prefill.
//
// Traffic counts what must come from memory: weights once per step and each sequence's cache.
// Activations stay in caches close to the arithmetic and are not counted.

import { buildModel } from '../../models/index.js';
import type { Parameter } from '../../nn/index.js';
import { byteLength } from '../../tensor/index.js';
import type { Call, Operand } from '../../tensor/index.js';
import { costOf, execution } from '../execute.js';
import type { Execution, Pass } from '../execute.js';
import { bytesByFormat, parameterBytes } from '../formats.js';
import type { FormatBytes, KvPrecision, WeightFormat } from '../formats.js';
import { describeLayers, ropeRules } from '../layers.js';
import type { LayerDescription } from '../layers.js';
import { kvBytes } from '../memory.js';
import { countParameters } from '../parameters.js';
import type { ParameterCount } from '../parameters.js';

/** What one pass asks of a machine. */
export interface Work {
  readonly flops: number;
  readonly weightBytes: number;
  readonly cacheBytes: number;
}

export interface Profile {
  readonly name: string;
  readonly family: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly parameters: number;
  readonly active: number;
  readonly contextLength: number;
  /** Rows of the learned position table: no context can be longer. */
  readonly learnedPositions: number | null;
  readonly layers: readonly LayerDescription[];
  readonly vocabulary: number;
  readonly weights: Readonly<Record<WeightFormat, FormatBytes>>;
  /** Of one sequence. */
  kvBytes(context: number, precision: KvPrecision): number;
  /** Widest moment of a pass of `tokens` tokens: one op's inputs and outputs beside the residual stream, in float32. */
  workspace(tokens: number, rows: number): number;
  decode(context: number, batch: number, format: WeightFormat, kv: KvPrecision): Work;
  prefill(tokens: number, chunk: number, format: WeightFormat, kv: KvPrecision): Work;
}

/**
 * How many of `experts` are expected to be chosen at least once by `tokens` tokens that choose
 * `perToken` different ones each. One token misses a given expert with probability 1 - k/E, all
 * tokens independently with (1 - k/E)^B, so E (1 - (1 - k/E)^B) are hit. Routers are trained to
 * spread their load, which is what makes every expert as likely as the next.
 */
export function expectedExperts(experts: number, perToken: number, tokens: number): number {
  return experts * (1 - (1 - perToken / experts) ** tokens);
}

/** Profiles the model of a hub config. Throws a ConfigError where the config describes none. */
export function profileModel(name: string, config: Readonly<Record<string, unknown>>, where = 'config.json'): Profile {
  const { family, hf, decoder } = buildModel(config, where);
  const { frame } = decoder;
  const run = execution(decoder, ({ shape }) => ({ shape, dtype: 'bf16' }));
  const single = run.decode(1, 1);
  const counts = countParameters(run, single);
  const layers = describeLayers(run, single, counts, ropeRules(hf));
  const total = (value: (count: ParameterCount) => number) => counts.reduce((sum, count) => sum + value(count), 0);
  const traffic = weightTraffic(run, single, counts);
  const widest = remembered((tokens) => widestOp(run, tokens));
  return {
    name, family: family.name, config, layers, vocabulary: frame.vocab, parameters: total((c) => c.total), active: total((c) => c.active),
    contextLength: frame.context, learnedPositions: frame.positions ?? null, weights: bytesByFormat(counts),
    kvBytes: (context, precision) => kvBytes(layers, context, precision),
    workspace: (tokens, rows) => widest(tokens) + 4 * tokens * frame.dim + 4 * rows * frame.vocab,
    decode: (context, batch, format, kv) => ({
      // Every sequence does the same arithmetic: what a batch saves is the reading of weights.
      flops: batch * costOf(single, context).flops.total,
      weightBytes: traffic(batch, format), cacheBytes: batch * kvBytes(layers, context, kv),
    }),
    prefill: (tokens, chunk, format, kv) => {
      const chunks = Math.ceil(tokens / chunk);
      const reread = Array.from({ length: Math.min(chunks, 64) }, (_, i) => kvBytes(layers, Math.ceil(((i + 1) * tokens) / Math.min(chunks, 64)), kv));
      return {
        flops: costOf(run.prefill(tokens), tokens).flops.total,
        weightBytes: chunks * traffic(Math.min(tokens, chunk), format),
        // Every chunk reads what is cached so far: the mean over at most 64 of them, times their number.
        cacheBytes: (chunks * reread.reduce((sum, bytes) => sum + bytes, 0)) / reread.length,
      };
    },
  };
}

type Traffic = (tokens: number, format: WeightFormat) => number;

/** Bytes of weights that a step of so many tokens reads: rows of tables, chosen experts, all of the rest. */
function weightTraffic(run: Execution, { calls }: Pass, counts: readonly ParameterCount[]): Traffic {
  const uses = calls.flatMap((call) => call.inputs.flatMap((operand, index) => {
    const parameter = run.parameterOf.get(operand.buffer);
    return parameter ? [{ parameter, share: shareOf(call, index, parameter) }] : [];
  }));
  const known = new Map(counts.map((count) => [count.parameter, count]));
  return (tokens, format) => uses.reduce((sum, { parameter, share }) => sum + parameterBytes(known.get(parameter)!, format).bytes * share(tokens), 0);
}

/** Which part of a parameter a call reads in a step of so many tokens. */
function shareOf({ op, inputs, attrs }: Call, index: number, { shape }: Parameter): (tokens: number) => number {
  // Absorbed MLA reads the key half of kv_b_proj in one call and the value half in another.
  if (op === 'head_linear') return () => ((attrs.rows as number) * inputs[0].spec.shape[1]) / shape[0];
  if (op === 'take_rows') return (tokens) => Math.min(1, tokens / shape[0]);
  if (op !== 'expert_linear' || index !== 1) return () => 1;
  const perToken = Math.min(inputs[2].spec.shape[1], shape[0]);
  return (tokens) => expectedExperts(shape[0], perToken, tokens) / shape[0];
}

/** Bytes of the activations that the widest op of a prefill reads and writes. */
function widestOp(run: Execution, tokens: number): number {
  const isActivation = ({ buffer, spec }: Operand) => !run.parameterOf.has(buffer) && spec.dtype === 'f32';
  const bytes = ({ inputs, outputs }: Call) => [...inputs, ...outputs].filter(isActivation).reduce((sum, { spec }) => sum + byteLength(spec), 0);
  return Math.max(...run.prefill(tokens).calls.map(bytes));
}

/** Looking for the largest context asks for the same pass again and again. */
function remembered(compute: (tokens: number) => number): (tokens: number) => number {
  const known = new Map<number, number>();
  return (tokens) => {
    const value = known.get(tokens) ?? compute(tokens);
    known.set(tokens, value);
    return value;
  };
}
