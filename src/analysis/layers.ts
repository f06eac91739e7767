// What each block is, read from the calls it makes: heads, mask, positions, norms, feed-forward.

import type { HfConfig } from '../models/index.js';
import { KvCache, ropeFrequencies } from '../nn/index.js';
import type { Constant, RopeConfig } from '../nn/index.js';
import type { Call } from '../tensor/index.js';
import type { Execution, Pass } from './execute.js';
import { layerOf } from './parameters.js';
import type { ParameterCount } from './parameters.js';

export interface RopeDescription {
  /** Base of the frequencies; null where no rule of the config gives them. */
  readonly theta: number | null;
  /** How much further positions were made to reach (YaRN, Llama 3, linear); 1: no further. */
  readonly stretch: number;
  /** How many numbers of a head are rotated. */
  readonly width: number;
  readonly layout: string;
}

export type MlpDescription =
  | { readonly kind: 'dense'; readonly hidden: number; readonly activation: string; readonly gated: boolean }
  | {
    readonly kind: 'moe'; readonly experts: number; readonly perToken: number; readonly hidden: number;
    /** Experts that every token passes, as one feed-forward of `sharedHidden`. */
    readonly shared: number; readonly sharedHidden: number; readonly activation: string; readonly gated: boolean;
  };

const NORMS: Readonly<Record<string, string>> = { rms_norm: 'RMSNorm', layer_norm: 'LayerNorm' };

/** What readers call an op that norms. */
export function normName(op: string): string {
  return NORMS[op] ?? op;
}

export interface LayerDescription {
  readonly index: number;
  readonly attention: 'MHA' | 'GQA' | 'MQA' | 'MLA';
  /** Which earlier tokens it sees: all, the last `window`, or those of the same `chunk`. */
  readonly reach: 'full' | 'sliding' | 'chunked';
  readonly window: number | null;
  readonly chunk: number | null;
  readonly heads: number;
  readonly kvHeads: number;
  /** Width of a query or key head. */
  readonly headDim: number;
  readonly valueDim: number;
  /** MLA: what is kept per token, a compressed latent and a rotated key part that all heads share. */
  readonly latent: { readonly rank: number; readonly rope: number } | null;
  /** Null: no rotary positions in this layer. */
  readonly rope: RopeDescription | null;
  readonly norms: 'pre' | 'post' | 'pre+post' | 'none';
  /** What the block's own norms compute; null where it has none. */
  readonly normKind: string | null;
  readonly qkNorm: 'per head' | 'whole projection' | 'per head, no weight' | 'latent' | null;
  readonly mlp: MlpDescription | null;
  readonly parameters: number;
  readonly active: number;
  /** bf16, before any window or chunk takes effect. */
  readonly kvBytesPerToken: number;
}

/** Describes every block. `pass` is a decode step of one sequence. */
export function describeLayers(run: Execution, { calls }: Pass, counts: readonly ParameterCount[], ropes: readonly RopeConfig[]): LayerDescription[] {
  const byLayer = run.decoder.frame.layers.map((): Call[] => []);
  for (const call of calls) {
    const at = layerOf(call.path);
    if (at) byLayer[at.index].push(call);
  }
  const caches = new Map(run.tree.flatMap(([path, part]) => part instanceof KvCache ? [[layerOf(path)?.index, part] as const] : []));
  const sums = sumByLayer(counts, byLayer.length);
  return byLayer.map((layerCalls, index) => {
    const cache = caches.get(index);
    if (!cache) throw new Error(`layer ${index} keeps nothing per token: layers without a cache cannot be described yet`);
    const attentionChild = layerOf(cache.path)!.child;
    const inside = layerCalls.filter(({ path }) => layerOf(path)?.child === attentionChild);
    return {
      index, ...describeAttention(cache, inside), rope: describeRope(run, inside, ropes), qkNorm: queryKeyNorm(cache, inside),
      norms: normPlacement(layerCalls, attentionChild), normKind: normKind(layerCalls, attentionChild), mlp: describeMlp(run, layerCalls, attentionChild),
      ...sums[index], kvBytesPerToken: cache.width * 2,
    };
  });
}

function sumByLayer(counts: readonly ParameterCount[], layers: number): { parameters: number; active: number }[] {
  const sums = Array.from({ length: layers }, () => ({ parameters: 0, active: 0 }));
  for (const { layer, total, active } of counts) {
    if (layer === undefined) continue;
    sums[layer].parameters += total;
    sums[layer].active += active;
  }
  return sums;
}

type AttentionFigures = Pick<LayerDescription, 'attention' | 'reach' | 'window' | 'chunk' | 'heads' | 'kvHeads' | 'headDim' | 'valueDim' | 'latent'>;

function describeAttention(cache: KvCache, calls: readonly Call[]): AttentionFigures {
  const { window, chunk } = cache.mask;
  const reach = { reach: window ? 'sliding' as const : chunk ? 'chunked' as const : 'full' as const, window: window ?? null, chunk: chunk ?? null };
  const [, heads, width] = calls.find(({ op }) => op === 'paged_attention')!.inputs[0].spec.shape;
  if (!cache.rows.v) return { attention: 'MLA', ...reach, heads, kvHeads: 1, ...latentHeads(cache, calls, width) };
  const kvHeads = cache.rows.k[0];
  const attention = kvHeads === heads ? 'MHA' : kvHeads === 1 ? 'MQA' : 'GQA';
  return { attention, ...reach, heads, kvHeads, headDim: width, valueDim: cache.valueDim, latent: null };
}

/** MLA runs absorbed, on latent rows: the widths of its heads show in what was absorbed. */
function latentHeads(cache: KvCache, calls: readonly Call[], width: number): Pick<AttentionFigures, 'headDim' | 'valueDim' | 'latent'> {
  const rows = (transposed: boolean) => calls.find(({ op, attrs }) => op === 'head_linear' && attrs.transposed === transposed)?.attrs.rows as number | undefined;
  const rope = width - cache.valueDim;
  return { headDim: (rows(true) ?? cache.valueDim) + rope, valueDim: rows(false) ?? cache.valueDim, latent: { rank: cache.valueDim, rope } };
}

function describeRope(run: Execution, calls: readonly Call[], rules: readonly RopeConfig[]): RopeDescription | null {
  const call = calls.find(({ op }) => op === 'rope');
  if (!call) return null;
  const constant = run.tree.find(([path, part]) => part.kind === 'constant' && path.startsWith(`${call.path}.`))?.[1] as Constant;
  const { values } = constant;
  const width = 2 * values.length;
  const rule = rules.find((candidate) => ropeFrequencies(width, candidate).every((frequency, i) => frequency === values[i]));
  const stretch = rule && rule.scaling.type !== 'none' ? rule.scaling.factor : 1;
  return { theta: rule?.theta ?? null, stretch, width, layout: String(call.attrs.layout) };
}

// Layer types that configs give a rule of their own, and thetas that configs leave out.
const LAYER_TYPES = [undefined, 'full_attention', 'sliding_attention', 'chunked_attention'];
const DEFAULT_THETAS = [undefined, 1e4, 1e6, 2e6];

/**
 * Every rule that a config could mean for some layer. Which of them a layer has is told by the
 * frequencies that it runs with.
 */
export function ropeRules(hf: HfConfig): RopeConfig[] {
  const rules = LAYER_TYPES.flatMap((type) => DEFAULT_THETAS.flatMap((theta) => attempt(() => hf.rope(type, theta))));
  const local = attempt(() => ({ theta: hf.num('rope_local_base_freq', 1e4), scaling: { type: 'none' as const } }));
  return [...rules, ...rules.map(({ theta }) => ({ theta, scaling: { type: 'none' as const } })), ...local];
}

function attempt<T>(body: () => T): T[] {
  try {
    return [body()];
  } catch {
    return [];
  }
}

function queryKeyNorm(cache: KvCache, calls: readonly Call[]): LayerDescription['qkNorm'] {
  const norm = calls.find(({ op }) => /norm$/.test(op));
  if (!norm) return null;
  if (!cache.rows.v) return 'latent';
  if (norm.inputs.length === 1) return 'per head, no weight';
  return norm.inputs[0].spec.shape.length === 3 ? 'per head' : 'whole projection';
}

/** Whether a call is one of the block's own norms, not one of queries and keys. */
function isBlockNorm({ op, path }: Call, attentionChild: string): boolean {
  return /norm$/.test(op) && layerOf(path)?.child !== attentionChild;
}

function normKind(calls: readonly Call[], attentionChild: string): LayerDescription['normKind'] {
  const norm = calls.find((call) => isBlockNorm(call, attentionChild));
  return norm ? normName(norm.op) : null;
}

/** Where the block's own norms stand, from the order in which its children run. */
function normPlacement(calls: readonly Call[], attentionChild: string): LayerDescription['norms'] {
  const children = calls.filter(({ path }) => layerOf(path)!.child !== `layers.${layerOf(path)!.index}`);
  const [first, last] = [children[0], children.at(-1)];
  const [pre, post] = [first, last].map((call) => call !== undefined && isBlockNorm(call, attentionChild));
  return pre ? (post ? 'pre+post' : 'pre') : post ? 'post' : 'none';
}

function describeMlp(run: Execution, calls: readonly Call[], attentionChild: string): MlpDescription | null {
  const inside = calls.filter((call) => layerOf(call.path)!.child !== attentionChild && !/norm$/.test(call.op));
  const weight = (call: Call) => call.inputs[1].spec.shape;
  const linears = inside.filter(({ op, inputs }) => op === 'linear' && !run.parameterOf.get(inputs[1].buffer)?.precise);
  const down = linears.at(-1);
  const dense = down ? weight(down)[1] : 0;
  const routed = inside.filter(({ op }) => op === 'expert_linear');
  if (routed.length === 0) return down ? { kind: 'dense', hidden: dense, ...activationOf(inside, dense) } : null;
  const last = routed.at(-1)!;
  const [experts, , hidden] = weight(last);
  const perToken = last.inputs[2].spec.shape[1];
  const shared = dense === 0 ? 0 : Number.isInteger(dense / hidden) ? dense / hidden : 1;
  return { kind: 'moe', experts, perToken, hidden, shared, sharedHidden: dense, ...activationOf(inside, hidden) };
}

/** The pointwise function between the projections, and whether its result is a gate. */
function activationOf(calls: readonly Call[], hidden: number): { activation: string; gated: boolean } {
  const wide = ({ inputs, outputs }: Call) => [...inputs, ...outputs].every(({ spec }) => spec.shape.at(-1) === hidden);
  const pointwise = calls.find((call) => call.inputs.length === 1 && call.outputs.length === 1 && wide(call));
  return { activation: pointwise?.op ?? 'none', gated: calls.some((call) => call.op === 'mul' && wide(call)) };
}
