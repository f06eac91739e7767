// What is written in a drawing: the rows of its panels and the marks on its boxes. Two layers are
// of one sort where the same is written of both; two models differ in a topic likewise.

import type { LayerDescription, MlpDescription } from '../layers.js';
import { bytes, count, parameters, thousands } from './numbers.js';
import type { Sublayer } from './block.js';
import type { LayerOutline, Outline } from './outline.js';

/** One line of a panel. */
export interface Row {
  readonly topic: string;
  readonly text: string;
  /** Not what a plain Llama-like design has. */
  readonly special: boolean;
}

/** A short word on a box. */
export interface Mark { readonly text: string; readonly special: boolean }

/** Layers of which the same is written, as shown. */
export interface Sort<T> { readonly value: T; readonly indices: readonly number[] }

const ATTENTION = { MHA: 'Multi-head attention', GQA: 'Grouped-query attention', MQA: 'Multi-query attention', MLA: 'Multi-head latent attention' } as const;

export function attentionName({ attention }: LayerDescription): string {
  return ATTENTION[attention] ?? attention;
}

export function attentionRows(layer: LayerOutline, learned: number | null): Row[] {
  const { description: d, details } = layer;
  const rows: (Row | null)[] = [
    row('attention', headsText(d), d.attention === 'MLA'),
    d.latent && row('latent', `keeps a latent of ${thousands(d.latent.rank)} and ${thousands(d.latent.rope)} rotated numbers per token, for all heads`, true),
    details?.queryRank ? row('queryRank', `queries through rank ${thousands(details.queryRank)}`, true) : null,
    d.qkNorm ? row('qkNorm', qkNormText(d, details?.qkNormAfterRope), true) : null,
    row('positions', positionsText(d, learned), !d.rope),
    row('reach', reachText(d), d.reach !== 'full'),
    details?.temperature ? row('temperature', 'queries grow with the position (temperature)', true) : null,
    details?.attentionBias ? row('attentionBias', 'projections with biases', false) : null,
  ];
  return rows.filter((item) => item !== null);
}

function row(topic: string, text: string, special: boolean): Row {
  return { topic, text, special };
}

function headsText({ attention, heads, kvHeads, headDim, valueDim }: LayerDescription): string {
  if (attention === 'MLA') return `${count(heads, 'head')} of ${headDim}, values of ${valueDim}`;
  if (attention === 'MHA') return `${count(heads, 'head')} of ${headDim}`;
  return `${count(heads, 'query head')}, ${count(kvHeads, 'key/value head')}, each of ${headDim}`;
}

function qkNormText({ qkNorm, rope }: LayerDescription, afterRope: boolean | undefined): string {
  if (qkNorm === 'latent') return 'norms on the latents';
  const where = afterRope === undefined || !rope ? '' : afterRope ? ', after RoPE' : ', before RoPE';
  return `QK-norm ${qkNorm === 'whole projection' ? 'over the whole projection' : qkNorm}${where}`;
}

export function positionsText({ rope, headDim }: LayerDescription, learned: number | null): string {
  if (!rope) return learned ? 'learned positions, no RoPE' : 'no positions (NoPE)';
  const theta = rope.theta === null ? '' : `, θ ${thousands(rope.theta)}`;
  const part = rope.width < headDim ? ` on ${rope.width} of ${headDim}` : '';
  return `RoPE${part}${theta}${rope.stretch === 1 ? '' : `, stretched ${thousands(rope.stretch)}×`}`;
}

function reachText({ window, chunk }: LayerDescription): string {
  if (window) return `sees the last ${count(window, 'token')}`;
  return chunk ? `sees its own chunk of ${count(chunk, 'token')}` : 'sees all earlier tokens';
}

/** Marks on the attention box of a block, those of any of its layers, in the order of a pass. */
export function attentionMarks(layers: readonly LayerOutline[], learned: number | null): Mark[] {
  const marks = layers.flatMap(({ description: d, details }): (Mark | null)[] => [
    d.latent && { text: `latent ${thousands(d.latent.rank)}`, special: true },
    ...inOrder(details?.qkNormAfterRope ?? false, d.qkNorm && { text: d.qkNorm === 'latent' ? 'latent norm' : 'QK-norm', special: true },
      d.rope ? { text: 'RoPE', special: false } : learned ? null : { text: 'NoPE', special: true }),
    details?.temperature ? { text: 'temperature', special: true } : null,
    d.window ? { text: `window ${thousands(d.window)}`, special: true } : null,
    d.chunk ? { text: `chunk ${thousands(d.chunk)}`, special: true } : null,
  ]);
  const unique = new Map(marks.filter((mark) => mark !== null).map((mark) => [mark.text, mark]));
  // Reach belongs after everything that is done to queries and keys.
  const isReach = ({ text }: Mark) => /^(window|chunk)/.test(text);
  return [...unique.values()].sort((a, b) => Number(isReach(a)) - Number(isReach(b)));
}

function inOrder<T>(swapped: boolean, first: T, second: T): T[] {
  return swapped ? [second, first] : [first, second];
}

const GATED: Readonly<Record<string, string>> = { silu: 'SwiGLU', gelu_tanh: 'GeGLU', gelu: 'GeGLU' };
const PLAIN: Readonly<Record<string, string>> = { silu: 'SiLU', gelu_tanh: 'GELU', gelu: 'GELU', relu: 'ReLU' };

export function activationName({ activation }: MlpDescription): string {
  return PLAIN[activation] ?? activation;
}

/** SwiGLU, GeGLU, GELU, … */
export function feedForwardName(mlp: MlpDescription): string {
  return mlp.gated ? (GATED[mlp.activation] ?? `gated ${activationName(mlp)}`) : activationName(mlp);
}

export function feedForwardTitle(mlp: MlpDescription | null): string {
  if (!mlp) return 'No feed-forward';
  return mlp.kind === 'moe' ? 'Mixture of experts' : `${feedForwardName(mlp)}, width ${thousands(mlp.hidden)}`;
}

export function feedForwardRows({ description: { mlp }, details }: LayerOutline): Row[] {
  if (mlp?.kind !== 'moe') return [row('feedForward', feedForwardTitle(mlp), false)];
  const router = details?.router;
  const groups = router?.groups ? `, from the best ${router.groups.picked} of ${router.groups.count} groups` : '';
  return [
    row('experts', `${count(mlp.experts, 'expert')} of width ${thousands(mlp.hidden)} (${feedForwardName(mlp)})`, true),
    row('perToken', `${thousands(mlp.perToken)} of them active for each token${groups}`, true),
    ...(mlp.shared ? [row('shared', `${count(mlp.shared, 'shared expert')} of width ${thousands(mlp.sharedHidden / mlp.shared)} for every token`, true)] : []),
    ...(router?.score ? [row('router', `router: ${router.score}${router.scalesInput ? ', scales what an expert reads' : ''}`, true)] : []),
  ];
}

/** Label and value of the facts below a model. */
export function facts({ model, layers }: Outline): (readonly [label: string, value: string])[] {
  const { parameters: p } = model;
  return [
    ['parameters', parameters(p.total)],
    ['active per token', p.active === p.total ? 'all' : `${parameters(p.active)} (${((100 * p.active) / p.total).toFixed(1)} %)`],
    ['layers', thousands(layers.length)],
    ['hidden size', thousands(model.hiddenSize)],
    ['vocabulary', thousands(model.vocabularySize)],
    ['longest context', count(model.contextLength, 'token')],
    ['KV per token', `${thousands(model.kvBytesPerToken)} B`],
    ['KV at longest', bytes(model.kvAtContextLength)],
  ];
}

/** Groups layers by what is written of them, in the order of their first. */
export function sortsOf<T>(values: readonly T[], written: (value: T) => string): Sort<T>[] {
  const sorts = new Map<string, { value: T; indices: number[] }>();
  values.forEach((value, index) => {
    const key = written(value);
    const known = sorts.get(key);
    if (known) known.indices.push(index);
    else sorts.set(key, { value, indices: [index] });
  });
  return [...sorts.values()];
}

/** `every 4th layer (12 of 48)`, `layers 0–2 (3 of 61)`, `all 36 layers` */
export function layersText(indices: readonly number[], total: number): string {
  if (indices.length === total) return `all ${count(total, 'layer')}`;
  const share = `(${indices.length} of ${total})`;
  const [first, last] = [indices[0], indices.at(-1)!];
  if (last - first + 1 === indices.length) return `${first === last ? `layer ${first}` : `layers ${first}–${last}`} ${share}`;
  const chosen = new Set(indices);
  for (let step = 2; step <= total / 2; step++) {
    const isLast = (i: number) => (i + 1) % step === 0;
    const all = Array.from({ length: total }, (_, i) => i);
    const isAlternate = step === 2 && all.every((i) => chosen.has(i) === (i % 2 === first));
    if (isAlternate) return `layers ${first}, ${first + 2}, ${first + 4}, … ${share}`;
    if (all.every((i) => chosen.has(i) === isLast(i))) return `every ${ordinal(step)} layer ${share}`;
    if (all.every((i) => chosen.has(i) !== isLast(i))) return `${step - 1} of every ${step} layers ${share}`;
  }
  return `${indices.length} of ${total} layers`;
}

function ordinal(value: number): string {
  const ending = value % 100 > 10 && value % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][value % 10] ?? 'th');
  return `${value}${ending}`;
}

/** Where norms stand around what a block's sublayers compute. */
export function normsText(sublayers: readonly Sublayer[]): string {
  const kinds = new Set(sublayers.flatMap(({ steps }) => steps.filter(({ kind }) => kind === 'norm').map(({ name }) => name)));
  const placement = ({ steps, residual }: Sublayer): string => {
    const main = steps.findIndex(({ kind }) => kind !== 'norm');
    if (main < 0) return 'between sublayers';
    const [before, after] = [main > 0, steps.at(-1)!.kind === 'norm'];
    const inside = after && residual ? ', inside the residual' : '';
    return before && after ? `before and after each sublayer${inside}` : after ? `after each sublayer${inside}` : before ? 'before each sublayer' : 'none';
  };
  const placements = [...new Set(sublayers.map(placement))];
  return kinds.size === 0 ? 'none' : `${[...kinds].join(', ')} ${placements.join('; ')}`;
}

/** What is drawn of the feed-forwards of a block, in a few words. */
export function feedForwardLabel(layers: readonly LayerOutline[]): Mark {
  const kinds = new Set(layers.map(({ description: { mlp } }) => mlp?.kind));
  if (!kinds.has('moe')) return { text: 'Feed-forward', special: false };
  return { text: kinds.has('dense') ? 'Experts or feed-forward' : 'Mixture of experts', special: true };
}

/** What a row says is a topic of its own: layers of one model can say several things of one topic. */
export function rowTopic(topic: string, text: string): string {
  return `${topic}: ${text}`;
}

/** All that is said of a model, by topic: models differ in a topic where this differs. */
export function topicsOf(outline: Outline): Map<string, string> {
  const { model, layers } = outline;
  const said = new Map<string, Set<string>>();
  const say = (topic: string, text: string) => said.set(topic, (said.get(topic) ?? new Set()).add(text));
  for (const layer of layers) {
    for (const { topic, text } of [...attentionRows(layer, model.learnedPositions), ...feedForwardRows(layer)]) say(rowTopic(topic, text), text);
    say('attentionName', attentionName(layer.description));
    say('norms', normsText(layer.sublayers));
  }
  for (const { text } of attentionMarks(layers, model.learnedPositions)) say(`mark:${text}`, text);
  for (const [label, value] of facts(outline)) say(label, value);
  say('feedForwardLabel', feedForwardLabel(layers).text);
  say('head', model.tiedHead ? 'tied' : 'own');
  say('finalNorm', outline.finalNorm);
  say('embeddingScale', String(outline.embeddingScale !== 1));
  say('learnedPositions', String(model.learnedPositions));
  return new Map([...said].map(([topic, texts]) => [topic, [...texts].sort().join('; ')]));
}

/** The topics in which not all models say the same. */
export function differingTopics(outlines: readonly Outline[]): Set<string> {
  const all = outlines.map(topicsOf);
  const topics = new Set(all.flatMap((topics) => [...topics.keys()]));
  return new Set([...topics].filter((topic) => all.some((topics) => topics.get(topic) !== all[0].get(topic))));
}
