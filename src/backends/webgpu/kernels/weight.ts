// What kernels are told of a weight matrix: the WGSL struct Weight and the parameters that pick its reader.

import { isBlockType, scaleGrid, scaleOffset } from '../../../tensor/index.js';
import type { Spec } from '../../../tensor/index.js';
import type { Parameters } from '../template.js';

/** Of the block formats, shaders read q8_0 alone. */
export const isWeight = ({ dtype }: Spec): boolean => dtype !== 'i32' && (!isBlockType(dtype) || dtype === 'q8_0');

/** Constants of a matrix: the WGSL struct Weight. */
export function weightConstants(spec: Spec): number[] {
  const grid = scaleGrid(spec);
  const [blockRows, blockColumns] = spec.scaleBlock ?? [1, 1];
  return [spec.shape.at(-1) ?? 1, spec.shape.at(-2) ?? 1, grid ? scaleOffset(spec) / 4 : 0, blockRows, blockColumns, grid?.rows ?? 0, grid?.columns ?? 0, 0];
}

export function weightParameters(spec: Spec) {
  const columns = spec.shape.at(-1) ?? 1;
  return { WEIGHT: spec.dtype, ALIGNED: columns % 4 === 0, EIGHTS: columns % 8 === 0 && EIGHTS.has(spec.dtype), SCALED: spec.scaleBlock !== undefined } satisfies Parameters;
}

/** Formats that the shaders read eight numbers of at a time. */
const EIGHTS: ReadonlySet<string> = new Set(['f16', 'bf16', 'q8_0']);
