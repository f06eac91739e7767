// Costs that many ops share: bytes of what goes in and out, flops per output element.

import { byteLength, elementCount } from '../dtype.js';
import type { Spec } from '../dtype.js';
import type { Cost } from '../op.js';

export function bytesOf(specs: readonly Spec[]): number {
  return specs.reduce((sum, spec) => sum + byteLength(spec), 0);
}

/** Reads every input once, writes every output once, `flopsPerElement` for each output element. */
export function elementwiseCost(inputs: readonly Spec[], outputs: readonly Spec[], flopsPerElement: number): Cost {
  const elements = outputs.reduce((sum, spec) => sum + elementCount(spec.shape), 0);
  return { flops: elements * flopsPerElement, bytesRead: bytesOf(inputs), bytesWritten: bytesOf(outputs) };
}

/** Bytes of `rows` rows of a tensor, for ops that touch a part of it. */
export function bytesOfRows(spec: Spec, rows: number): number {
  const all = elementCount(spec.shape.slice(0, -1));
  return all === 0 ? 0 : (byteLength(spec) * Math.min(rows, all)) / all;
}
