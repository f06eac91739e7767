// The figures of several models side by side, and which of them differ.

import { describe } from './describe.js';
import type { DescribeOptions, Description } from './describe.js';
import type { DescribeSource } from './source.js';
import { layerColumns, summarise } from './summary.js';

export interface ComparisonRow {
  readonly key: string;
  readonly label: string;
  readonly unit: 'text' | 'count' | 'parameters' | 'tokens' | 'bytes' | 'flops';
  /** One per model, in the order given; exact. */
  readonly values: readonly (number | string)[];
  readonly differs: boolean;
}

export interface Comparison {
  readonly models: readonly Description[];
  readonly rows: readonly ComparisonRow[];
}

/** Compares models: `compare(a, b, …)`, or `compare([a, b, …], { context })`. */
export async function compare(...sources: DescribeSource[]): Promise<Comparison>;
export async function compare(sources: readonly DescribeSource[], options?: DescribeOptions): Promise<Comparison>;
export async function compare(first: DescribeSource | readonly DescribeSource[], ...rest: unknown[]): Promise<Comparison> {
  const isList = Array.isArray(first) && !first.some((item) => item instanceof Blob);
  const sources = (isList ? first : [first, ...rest]) as DescribeSource[];
  const options = (isList ? rest[0] : undefined) as DescribeOptions | undefined;
  const models: Description[] = [];
  for (const source of sources) models.push(await describe(source, { headers: false, ...options }));
  return compareDescriptions(models);
}

/** Compares what `describe` gave. */
export function compareDescriptions(models: readonly Description[]): Comparison {
  if (models.length === 0) throw new RangeError('there is nothing to compare: no models were given');
  const row = (key: string, label: string, unit: ComparisonRow['unit'], value: (model: Description) => number | string): ComparisonRow => {
    const values = models.map(value);
    return { key, label, unit, values, differs: values.some((other) => other !== values[0]) };
  };
  const layerRow = (key: string, label: string) => row(key, label, 'text', (model) =>
    summarise(model.layers, layerColumns(model).find(([column]) => column === label)![1]));
  const rows = [
    row('family', 'family', 'text', (m) => m.family),
    row('parameters', 'parameters', 'parameters', (m) => m.parameters.total),
    row('active', 'active per token', 'parameters', (m) => m.parameters.active),
    row('layers', 'layers', 'count', (m) => m.layers.length),
    row('hiddenSize', 'hidden size', 'count', (m) => m.hiddenSize),
    layerRow('attention', 'attention'),
    layerRow('reach', 'sees'),
    layerRow('positions', 'positions'),
    layerRow('norms', 'norms'),
    layerRow('qkNorm', 'query/key norm'),
    layerRow('mlp', 'feed-forward'),
    row('tiedHead', 'head', 'text', (m) => (m.tiedHead ? 'tied' : 'own')),
    row('vocabularySize', 'vocabulary', 'count', (m) => m.vocabularySize),
    row('contextLength', 'longest context', 'tokens', (m) => m.contextLength),
    row('bf16Bytes', 'weights in bf16', 'bytes', (m) => 2 * m.parameters.total),
    row('kvBytesPerToken', 'KV cache per token', 'bytes', (m) => m.kvBytesPerToken),
    row('kvAtContextLength', 'KV at longest context', 'bytes', (m) => m.kvAtContextLength),
    row('context', 'at a context of', 'tokens', (m) => m.context),
    row('kvAtContext', '  KV cache', 'bytes', (m) => m.kvAtContext),
    row('decodeFlops', '  decode step computes', 'flops', (m) => m.decode.flops.total),
    row('decodeBytes', '  decode step moves', 'bytes', (m) => m.decode.bytesRead + m.decode.bytesWritten),
    row('prefillFlops', '  prefill computes', 'flops', (m) => m.prefill.flops.total),
  ];
  return { models, rows };
}
