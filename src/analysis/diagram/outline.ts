// What is drawn of one model: its description, and what its calls say beyond that: the order of
// norms and sums in a block, how the router chooses, what is done to queries.

import { buildModel } from '../../models/index.js';
import type { Decoder } from '../../nn/index.js';
import type { Call } from '../../tensor/index.js';
import { describe } from '../describe.js';
import type { DescribeOptions, Description } from '../describe.js';
import { execution } from '../execute.js';
import { normName } from '../layers.js';
import type { LayerDescription } from '../layers.js';
import { layerOf } from '../parameters.js';
import { openSource } from '../source.js';
import type { DescribeSource } from '../source.js';
import { sublayersOf } from './block.js';
import type { BlockStep, Sublayer } from './block.js';

export interface LayerOutline {
  readonly description: LayerDescription;
  readonly sublayers: readonly Sublayer[];
  /** Null: nothing but the description is known. */
  readonly details: LayerDetails | null;
}

/** What the description of a layer does not say. */
export interface LayerDetails {
  /** MLA: rank that queries are compressed to. */
  readonly queryRank: number | null;
  /** Whether queries and keys are normed before or after they are rotated. */
  readonly qkNormAfterRope: boolean;
  /** Queries grow with the position. */
  readonly temperature: boolean;
  readonly attentionBias: boolean;
  readonly router: RouterDetails | null;
}

export interface RouterDetails {
  readonly score: 'sigmoid' | 'softmax' | null;
  /** Experts come from the best of these groups. */
  readonly groups: { readonly count: number; readonly picked: number } | null;
  /** The router's weight multiplies what an expert reads, not what it gives. */
  readonly scalesInput: boolean;
}

export interface Outline {
  readonly model: Description;
  readonly layers: readonly LayerOutline[];
  readonly finalNorm: string;
  /** What embeddings are multiplied by; 1: nothing. */
  readonly embeddingScale: number;
}

/** Outlines a model from whatever names it, or from what `describe` gave. */
export async function outline(source: DescribeSource | Description, options: DescribeOptions = {}): Promise<Outline> {
  if (isDescription(source)) return fromDescription(source);
  const model = await describe(source, { headers: false, ...options });
  const opened = await openSource(source, { ...options, headers: false });
  try {
    return traced(model, buildModel(opened.config, opened.where).decoder);
  } finally {
    await opened.close();
  }
}

function isDescription(source: DescribeSource | Description): source is Description {
  return typeof source === 'object' && 'kvBytesPerToken' in source && 'layers' in source && Array.isArray(source.layers);
}

function traced(model: Description, decoder: Decoder): Outline {
  const run = execution(decoder, ({ shape }) => ({ shape, dtype: 'bf16' }));
  const { calls } = run.decode(1, 1);
  const byLayer = model.layers.map((): Call[] => []);
  for (const call of calls) {
    const at = layerOf(call.path);
    if (at) byLayer[at.index].push(call);
  }
  const first = calls.findIndex(({ path }) => layerOf(path));
  const last = calls.findLastIndex(({ path }) => layerOf(path));
  const scale = calls.slice(0, first).find(({ op }) => op === 'scale');
  return {
    model, embeddingScale: Number(scale?.attrs.factor ?? 1),
    finalNorm: normName(calls.slice(last).find(({ op }) => /norm$/.test(op))?.op ?? 'no norm'),
    layers: model.layers.map((description, i) => ({ description, sublayers: sublayersOf(byLayer[i]), details: detailsOf(byLayer[i], description) })),
  };
}

function detailsOf(calls: readonly Call[], { mlp, latent }: LayerDescription): LayerDetails {
  const attentionChild = layerOf(calls.find(({ op }) => /attention$/.test(op))!.path)!.child;
  const inside = calls.filter(({ path }) => layerOf(path)!.child === attentionChild);
  const norms = inside.filter(({ op }) => /norm$/.test(op));
  const position = (matches: (op: string) => boolean) => inside.findIndex(({ op }) => matches(op));
  const rope = position((op) => op === 'rope');
  return {
    queryRank: latent && norms.length > 1 ? norms[0].inputs[0].spec.shape.at(-1)! : null,
    qkNormAfterRope: rope >= 0 && position((op) => /norm$/.test(op)) > rope,
    temperature: inside.some(({ op }) => op === 'temperature'),
    attentionBias: inside.some(({ op, inputs }) => op === 'linear' && inputs.length === 3),
    router: mlp?.kind === 'moe' ? routerOf(calls.filter((call) => !inside.includes(call))) : null,
  };
}

function routerOf(calls: readonly Call[]): RouterDetails {
  const score = calls.find(({ op }) => op === 'sigmoid' || op === 'softmax')?.op as 'sigmoid' | 'softmax' | undefined;
  const { groups = 1, groupsPicked = groups } = (calls.find(({ op }) => op === 'top_k')?.attrs ?? {}) as { groups?: number; groupsPicked?: number };
  const firstExpert = calls.findIndex(({ op }) => op === 'expert_linear');
  return {
    score: score ?? null, groups: groupsPicked < groups ? { count: groups, picked: groupsPicked } : null,
    scalesInput: calls.slice(0, firstExpert).some(({ op }) => op === 'outer'),
  };
}

/** Without calls, the block is what the description says of its norms. */
function fromDescription(model: Description): Outline {
  const norm: BlockStep = { kind: 'norm', name: 'Norm' };
  const blockOf = ({ norms, mlp }: LayerDescription): Sublayer[] => {
    const around = (step: BlockStep): Sublayer => ({
      steps: [...(norms.startsWith('pre') ? [norm] : []), step, ...(norms.endsWith('post') ? [norm] : [])], residual: true,
    });
    return [around({ kind: 'attention', name: 'attention' }), ...(mlp ? [around({ kind: 'feedForward', name: 'feed-forward' })] : [])];
  };
  return {
    model, finalNorm: 'Final norm', embeddingScale: 1,
    layers: model.layers.map((description) => ({ description, sublayers: blockOf(description), details: null })),
  };
}
