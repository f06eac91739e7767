// What differs between two architectures, said in words. Read from descriptions, and so from the
// definitions that run; what is equal is not mentioned.

import { describe } from './describe.js';
import type { DescribeOptions, Description } from './describe.js';
import { bytes, count, parameters, shortName, thousands } from './diagram/numbers.js';
import { feedForwardName } from './diagram/words.js';
import type { LayerDescription, MlpDescription } from './layers.js';
import type { DescribeSource } from './source.js';
import { summarise } from './summary.js';

export interface Difference {
  /** What it is about: `normPlacement`, `kvHeads`, `parameters`, … */
  readonly topic: string;
  /** The exact figure, or words, for each of the two. */
  readonly a: number | string;
  readonly b: number | string;
  /** One sentence that names both models. */
  readonly sentence: string;
}

/** Compares two models; equal architectures give an empty list, whatever they are called. */
export async function diff(a: DescribeSource, b: DescribeSource, options: DescribeOptions = {}): Promise<Difference[]> {
  const first = await describe(a, { headers: false, ...options });
  return diffDescriptions(first, await describe(b, { headers: false, ...options }));
}

/** Compares what `describe` gave. */
export function diffDescriptions(a: Description, b: Description): Difference[] {
  const names = namesOf(a, b);
  return [...LAYER_TOPICS.flatMap((topic) => layerDifference(topic, a, b, names)), ...headDifference(a, b, names), ...figures(a, b, names)];
}

type Names = readonly [a: string, b: string];

function namesOf(a: Description, b: Description): Names {
  const [x, y] = [shortName(a.name), shortName(b.name)];
  return x === y ? [`the first ${x}`, `the second ${y}`] : [x, y];
}

/** Something that each layer has: `verb` and `object` make a sentence behind the model's name. */
interface LayerTopic {
  readonly topic: string;
  readonly verb: string;
  object(layer: LayerDescription, model: Description): string;
  /** What is compared, where that is less than the object says. */
  key?(layer: LayerDescription): string;
  /** Layers that it is about; models without any are not compared in it. */
  among?(layer: LayerDescription): boolean;
  /** Says in how many layers even where it is all of them. */
  readonly counted?: boolean;
}

const NORMS = {
  pre: 'what each sublayer reads', post: 'what each sublayer gives, inside the residual',
  'pre+post': 'both what each sublayer reads and what it gives', none: 'nothing within its blocks',
} as const;
const ATTENTION = { MHA: 'multi-head attention', GQA: 'grouped-query attention', MQA: 'multi-query attention', MLA: 'multi-head latent attention' } as const;
const QK_NORMS: Readonly<Record<string, string>> = {
  'per head': 'queries and keys per head', 'whole projection': 'queries and keys over their whole projection',
  'per head, no weight': 'queries and keys per head, without a weight', latent: 'the latents of its attention',
};

type MoeLayer = LayerDescription & { readonly mlp: Extract<MlpDescription, { kind: 'moe' }> };
const isMoe = (layer: LayerDescription): layer is MoeLayer => layer.mlp?.kind === 'moe';
const isDense = ({ mlp }: LayerDescription) => mlp?.kind === 'dense';
const ofExperts = (say: (mlp: MoeLayer['mlp']) => string) => (layer: LayerDescription) => say((layer as MoeLayer).mlp);

const LAYER_TOPICS: readonly LayerTopic[] = [
  { topic: 'normPlacement', verb: 'norms', object: ({ norms }) => NORMS[norms] ?? norms },
  { topic: 'normKind', verb: 'norms with', object: ({ normKind }) => normKind ?? 'nothing' },
  { topic: 'qkNorm', verb: 'norms', object: ({ qkNorm }) => (qkNorm === null ? 'neither queries nor keys' : (QK_NORMS[qkNorm] ?? qkNorm)) },
  { topic: 'attention', verb: 'has', object: ({ attention }) => ATTENTION[attention] ?? attention },
  { topic: 'heads', verb: 'has', object: ({ heads, headDim }) => `${count(heads, 'query head')} of ${headDim}` },
  { topic: 'kvHeads', verb: 'keeps', object: keptText },
  { topic: 'reach', verb: 'keeps', object: reachText, counted: true },
  { topic: 'positions', verb: 'places tokens', object: placedText },
  { topic: 'feedForward', verb: 'has', object: feedForwardText, key: ({ mlp }) => mlp?.kind ?? 'none' },
  { topic: 'activation', verb: 'computes', object: ({ mlp }) => (mlp ? feedForwardName(mlp) : 'no feed-forward') },
  { topic: 'feedForwardWidth', verb: 'has', object: ({ mlp }) => `dense feed-forwards of width ${thousands(mlp!.hidden)}`, among: isDense },
  { topic: 'experts', verb: 'chooses among', object: ofExperts(({ experts }) => count(experts, 'expert')), among: isMoe },
  { topic: 'expertWidth', verb: 'has', object: ofExperts(({ hidden }) => `experts of width ${thousands(hidden)}`), among: isMoe },
  { topic: 'expertsPerToken', verb: 'sends each token to', object: ofExperts(({ perToken }) => count(perToken, 'expert')), among: isMoe },
  { topic: 'sharedExperts', verb: 'has', object: ofExperts(({ shared }) => (shared ? count(shared, 'shared expert') : 'no shared expert')), among: isMoe },
];

function keptText({ latent, kvHeads }: LayerDescription): string {
  return latent ? `a latent of ${thousands(latent.rank)} and ${thousands(latent.rope)} rotated numbers for all heads` : count(kvHeads, 'key/value head');
}

function reachText({ window, chunk }: LayerDescription): string {
  if (window) return `the last ${count(window, 'token')}`;
  return chunk ? `the current chunk of ${count(chunk, 'token')}` : 'all tokens';
}

function placedText({ rope }: LayerDescription, { learnedPositions }: Description): string {
  if (!rope) return learnedPositions ? `by a learned table of ${thousands(learnedPositions)} rows` : 'by nothing (NoPE)';
  const theta = rope.theta === null ? '' : ` of theta ${thousands(rope.theta)}`;
  return `by RoPE${theta}${rope.stretch === 1 ? '' : ` (stretched ${thousands(rope.stretch)} times)`}`;
}

function feedForwardText({ mlp }: LayerDescription): string {
  if (!mlp) return 'no feed-forward';
  return mlp.kind === 'dense' ? 'a dense feed-forward' : `a mixture of ${count(mlp.experts, 'expert')} (${thousands(mlp.perToken)} for each token)`;
}

function layerDifference(about: LayerTopic, a: Description, b: Description, names: Names): Difference[] {
  const { topic, verb, object, key = object, among = () => true, counted = false } = about;
  const said = [a, b].map((model, i) => {
    const layers = model.layers.filter(among);
    return {
      layers: layers.length, compared: summarise(layers, (layer) => key(layer, model)), value: summarise(layers, (layer) => object(layer, model)),
      sentence: `${names[i]} ${verb} ${spread(layers, (layer) => object(layer, model), counted)}`,
    };
  });
  if (said.some(({ layers }) => layers === 0) || said[0].compared === said[1].compared) return [];
  return [{ topic, a: said[0].value, b: said[1].value, sentence: `${said[0].sentence}; ${said[1].sentence}.` }];
}

/** `the last 1,024 tokens in 52 of its 62 layers and all tokens in the other 10` */
function spread(layers: readonly LayerDescription[], object: (layer: LayerDescription) => string, counted: boolean): string {
  const counts = new Map<string, number>();
  for (const layer of layers) counts.set(object(layer), (counts.get(object(layer)) ?? 0) + 1);
  const sorted = [...counts].sort((x, y) => y[1] - x[1]);
  const [[words]] = sorted.length > 0 ? sorted : [['', 0] as const];
  if (sorted.length <= 1) return counted ? `${words} in all ${count(layers.length, 'layer')}` : words;
  const parts = sorted.map(([text, n], i) => {
    if (i === 0) return `${text} in ${n} of its ${layers.length} layers`;
    return `${text} in ${sorted.length === 2 ? `the other ${n === 1 ? 'one' : n}` : n}`;
  });
  return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`;
}

function headDifference(a: Description, b: Description, names: Names): Difference[] {
  if (a.tiedHead === b.tiedHead) return [];
  const says = ({ tiedHead }: Description, name: string) => (tiedHead ? `${name} uses its embedding as output head` : `${name} has an output head of its own`);
  const value = ({ tiedHead }: Description) => (tiedHead ? 'tied' : 'own');
  return [{ topic: 'head', a: value(a), b: value(b), sentence: `${says(a, names[0])}; ${says(b, names[1])}.` }];
}

/** A figure of whole models; its sentence begins with the model that has more. */
interface Figure {
  readonly topic: string;
  value(model: Description): number;
  sentence(more: string, less: string, large: number, small: number): string;
}

const FIGURES: readonly Figure[] = [
  { topic: 'layers', value: (m) => m.layers.length, sentence: (more, less, n, k) => `${more} has ${count(n, 'layer')}, ${less} ${thousands(k)}.` },
  { topic: 'hiddenSize', value: (m) => m.hiddenSize, sentence: (more, less, n, k) => `${more} is ${thousands(n)} wide, ${less} ${thousands(k)}.` },
  { topic: 'vocabulary', value: (m) => m.vocabularySize, sentence: (more, less, n, k) => `${more} has ${count(n, 'token')} in its vocabulary, ${less} ${thousands(k)}.` },
  {
    topic: 'parameters', value: (m) => m.parameters.total,
    sentence: (more, less, n, k) => `${more} has ${parameters(n)} parameters, ${against(n, k, less, parameters(k), 'as many')}.`,
  },
  {
    topic: 'active', value: (m) => m.parameters.active,
    sentence: (more, less, n, k) => `${more} uses ${parameters(n)} parameters for a token, ${against(n, k, less, parameters(k), 'as many')}.`,
  },
  {
    topic: 'kvPerToken', value: (m) => m.kvBytesPerToken,
    sentence: (more, less, n, k) => `${more} stores ${count(n, 'byte')} of keys and values for a token, ${against(n, k, less, thousands(k), 'as many')}.`,
  },
];

function figures(a: Description, b: Description, [nameA, nameB]: Names): Difference[] {
  const all = [...FIGURES, ...(forgets(a) || forgets(b) ? [keptAt(Math.min(a.contextLength, b.contextLength))] : []), CONTEXT];
  return all.flatMap(({ topic, value, sentence }) => {
    const [x, y] = [value(a), value(b)];
    if (x === y) return [];
    return [{ topic, a: x, b: y, sentence: x > y ? sentence(nameA, nameB, x, y) : sentence(nameB, nameA, y, x) }];
  });
}

const CONTEXT: Figure = {
  topic: 'contextLength', value: (m) => m.contextLength,
  sentence: (more, less, n, k) => `${more} was made for ${count(n, 'token')} of context, ${less} for ${thousands(k)}.`,
};

const forgets = ({ layers }: Description) => layers.some(({ reach }) => reach !== 'full');

/** Where layers forget, what a token takes says little about long contexts. */
function keptAt(context: number): Figure {
  return {
    topic: 'kvAtContext', value: (m) => m.kvBytes(context),
    sentence: (more, less, n, k) => `At ${count(context, 'token')} ${more} keeps ${bytes(n)}, ${against(n, k, less, bytes(k), 'as much')}.`,
  };
}

/** `431 times as many as gpt2-xl (1.6B)`; where that is hardly more, `gpt2-xl 1.6B`. */
function against(large: number, small: number, less: string, amount: string, as: string): string {
  const ratio = large / small;
  if (!(ratio >= 1.1)) return `${less} ${amount}`;
  return `${ratio < 10 ? Number(ratio.toFixed(1)) : thousands(Math.round(ratio))} times ${as} as ${less} (${amount})`;
}
